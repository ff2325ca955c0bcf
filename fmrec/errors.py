"""Every error this library raises on purpose.

A message is a sentence for the person who has to act: what was found and where
(file, row, column, byte offset), what was expected, what to do.
"""


class FmrecError(Exception):
    """Base class: catch it to catch every error raised on purpose."""


class InputError(FmrecError):
    """The caller's data or arguments can't be used as they are."""


class NotFoundError(InputError):
    """What was asked for by its id is not there."""


class ForbiddenError(InputError):
    """The caller may not ask for this."""


class FormatError(InputError):
    """A file is not what its format says: recordIO-protobuf, an NDArray list, a manifest."""


class SettingsError(InputError):
    """A setting, hyperparameter or data set document is not valid."""


class QualityError(FmrecError):
    """A model is not good enough to publish."""


class NoInstanceError(FmrecError):
    """No instance type satisfies a step's needs under the account's quotas."""


class ServiceError(FmrecError):
    """An AWS service refused or failed a call; the message carries its own words."""


class ThrottledError(ServiceError):
    """An AWS service had too many requests: the same call may succeed a little later."""


MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    ZeroDivisionError,
)
"""What is raised where a JSON document of another form than expected is taken to pieces."""
