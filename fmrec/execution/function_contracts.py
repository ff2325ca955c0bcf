"""What the Lambda functions are sent and answer: one type each, for the handlers and for the state machine.

A handler's ``event`` has its type from `EVENTS`; tests hold the arguments of every state that invokes a
function to the same type, and what the states read of an answer, and what the handlers answer, to `ANSWERS`.
"""

from typing import Any, TypedDict

Document = dict[str, Any]
"""JSON whose form is said elsewhere (docs/contracts.md)."""


class CheckInputEvent(TypedDict):
    run: str
    input: Any
    defaults: Document


class CheckInputAnswer(TypedDict):
    """The input as resolved."""

    run: str
    task: str
    thresholds: Document
    dataset_name: str
    dataset: Document | None
    encoded: str | None
    hyperparameters: dict[str, str]
    serving: Document
    promotion: Document | None
    tuning: Document | None
    replace_catalogue: bool
    ensemble: int
    drift_limits: Document
    """What `compare_data` is given; nothing is compared for a promotion."""


class CompareDataEvent(TypedDict):
    manifest_uri: str
    champion_uri: str
    limits: dict[str, dict[str, float]]


class CompareDataAnswer(TypedDict):
    before: str
    stopped: bool
    sentence: str
    measures: dict[str, dict[str, float | None]]
    findings: list[Document]
    limits: dict[str, dict[str, float | None]]


class ChooseInstancesEvent(TypedDict):
    manifest_uri: str
    hyperparameters: dict[str, str]
    serving: Document
    task: str
    served_uri: str | None
    """The record of what serves; None where it doesn't matter which catalogue that is of."""
    ensemble: int
    tuning: Document | None
    """Limits of trials that are compared by ranking (`fmrec.execution.tuning`); None where none are planned.
    """


class ChooseInstancesAnswer(TypedDict):
    """The plan (docs/instances.md)."""

    sizes: Document
    steps: dict[str, Document]
    cost: Document
    notes: list[str]
    neighbours: int
    hyperparameters: dict[str, str]
    """All that the training job takes but feature_dim."""
    by_shape: Document | None
    """Which of them the data's shape gave (`fmrec.deployment.shape_rule`); None where all were given."""


class ProposeTrialsEvent(TypedDict):
    hyperparameters: dict[str, str]
    """All that the run has."""
    free: list[str]
    """Those that may be changed."""
    trials: list[Document]
    """All so far: ``number``, ``round``, ``hyperparameters``; ``ndcg`` and ``usd`` where they are known."""
    budget: Document
    """As `fmrec.deployment.trials.Budget`."""


class ProposeTrialsAnswer(TypedDict):
    trials: list[Document]
    """The next ones, to be trained at the same time: ``number``, ``round``, ``hyperparameters``."""
    best: Document | None
    """The best so far, as it was sent."""


class EvaluateRankingEvent(TypedDict):
    manifest_uri: str
    embeddings_uri: str
    champion_uri: str | None
    """None to judge the model alone, as trials are: without the champion, simple models and new users."""
    output_uri: str


class EvaluateRankingAnswer(TypedDict):
    """What is written to ``ranking.json``."""

    k: int
    users: int
    items: int
    run: str
    model: Document
    baselines: dict[str, Document]
    simple_models: dict[str, Document]
    simple_models_why: str
    champion: Document | None
    comparisons: dict[str, Document]
    folded_in: Document | None
    seconds: float
    judged_against: str
    """``execution_arn`` of the champion, empty if there was none; in the answer only."""


class CheckQualityEvent(TypedDict):
    metrics: dict[str, float]
    evaluation: Document | None
    thresholds: Document


class CheckQualityAnswer(TypedDict):
    passed: bool
    sentence: str
    metrics: dict[str, float]
    checks: list[Document]


class ExportEmbeddingsEvent(TypedDict):
    model_uris: list[str]
    """One for each model of an ensemble."""
    manifest_uri: str
    output_uri: str
    co_occurrence: float
    """``serving.co_occurrence``."""
    folding_in: bool
    """Whether it is chosen how users are folded in, which trials don't need."""


class ExportEmbeddingsAnswer(TypedDict):
    """Where ``embeddings.json`` is, and its sizes; parts are counts here."""

    uri: str
    dim: int
    users: int
    items: int
    item_parts: int
    query_parts: int


class RegisterModelEvent(TypedDict):
    model: Document
    verdict: Document
    group: str
    image: str
    record_uri: str
    evaluation_uri: str | None


class RegisterModelAnswer(TypedDict):
    group: str
    version: int
    arn: str
    status: str
    record_uri: str


class PublishRecommendationsEvent(TypedDict):
    manifest_uri: str
    embeddings_uri: str
    neighbours_uri: str
    output_uri: str
    table: str
    parts: list[int]
    """``[first, end)``."""
    per_user: int
    model_version: str
    exclude_seen: bool
    filters: Document


class PublishRecommendationsAnswer(TypedDict):
    """Sums over the query parts."""

    users: int
    recommendations: int
    ranked_exactly: int


class PublishPopularEvent(TypedDict):
    manifest_uri: str
    table: str
    per_user: int
    model_version: str
    filters: Document
    segments_uri: str | None


class PublishPopularAnswer(TypedDict):
    lists: int


class AcquirePublishingLockEvent(TypedDict):
    dataset: str
    execution_arn: str
    champion_uri: str
    judged_against: str | None


class AcquirePublishingLockAnswer(TypedDict):
    acquired: bool
    holder: str
    champion_changed: bool


class RemoveDepartedUsersEvent(TypedDict):
    table: str
    dataset: str
    model_version: str


class RemoveDepartedUsersAnswer(TypedDict):
    removed: int


class CompareListsEvent(TypedDict):
    lists_uri: str
    manifest_uri: str
    champion_uri: str


class CompareListsAnswer(TypedDict):
    before: str
    users: int
    sampled: bool
    overlap: float | None
    unchanged: float | None
    coverage: float | None
    coverage_before: float | None
    sentence: str


class SmokeTestEndpointEvent(TypedDict):
    endpoint_name: str
    manifest_uri: str
    embeddings_uri: str
    table: str
    exclude_seen: bool
    filters: Document


class SmokeTestEndpointAnswer(TypedDict):
    passed: bool
    sentence: str
    user_id: str
    published: list[str]
    answered: list[str]


class ChooseThresholdEvent(TypedDict):
    manifest_uri: str
    scores_uri: str
    output_uri: str
    model_version: str


class ChooseThresholdAnswer(TypedDict):
    """What is written to ``decision.json``, and where."""

    version: int
    model_version: str
    encoded_by: str
    predictor_type: str
    level: float | None
    threshold: float
    calibration: Document | None
    rows: Document
    judged: Document
    curve: Document | None
    sentence: str
    uri: str


class SmokeTestScoringEvent(TypedDict):
    endpoint_name: str
    manifest_uri: str
    scores_uri: str | None


class SmokeTestScoringAnswer(TypedDict):
    passed: bool
    sentence: str
    user_id: str | None
    item_id: str | None
    scored: float | None
    as_json: float
    as_recordio: float


class WriteReportEvent(TypedDict):
    report: Document
    report_uri: str
    champion: Document | None
    champion_uri: str
    served: Document | None
    served_uri: str


class WriteReportAnswer(TypedDict):
    uri: str
    subject: str
    message: str


class ExplainFailureEvent(TypedDict):
    failure: Document
    execution_arn: str


class ExplainFailureAnswer(TypedDict):
    error: str
    sentence: str
    subject: str


EVENTS: dict[str, type] = {
    "check_input": CheckInputEvent,
    "compare_data": CompareDataEvent,
    "compare_lists": CompareListsEvent,
    "choose_instances": ChooseInstancesEvent,
    "propose_trials": ProposeTrialsEvent,
    "evaluate_ranking": EvaluateRankingEvent,
    "check_quality": CheckQualityEvent,
    "export_embeddings": ExportEmbeddingsEvent,
    "register_model": RegisterModelEvent,
    "publish_recommendations": PublishRecommendationsEvent,
    "publish_popular": PublishPopularEvent,
    "acquire_publishing_lock": AcquirePublishingLockEvent,
    "remove_departed_users": RemoveDepartedUsersEvent,
    "smoke_test_endpoint": SmokeTestEndpointEvent,
    "choose_threshold": ChooseThresholdEvent,
    "smoke_test_scoring": SmokeTestScoringEvent,
    "write_report": WriteReportEvent,
    "explain_failure": ExplainFailureEvent,
}
"""Function → what it is sent."""

ANSWERS: dict[str, type] = {
    "check_input": CheckInputAnswer,
    "compare_data": CompareDataAnswer,
    "compare_lists": CompareListsAnswer,
    "choose_instances": ChooseInstancesAnswer,
    "propose_trials": ProposeTrialsAnswer,
    "evaluate_ranking": EvaluateRankingAnswer,
    "check_quality": CheckQualityAnswer,
    "export_embeddings": ExportEmbeddingsAnswer,
    "register_model": RegisterModelAnswer,
    "publish_recommendations": PublishRecommendationsAnswer,
    "publish_popular": PublishPopularAnswer,
    "acquire_publishing_lock": AcquirePublishingLockAnswer,
    "remove_departed_users": RemoveDepartedUsersAnswer,
    "smoke_test_endpoint": SmokeTestEndpointAnswer,
    "choose_threshold": ChooseThresholdAnswer,
    "smoke_test_scoring": SmokeTestScoringAnswer,
    "write_report": WriteReportAnswer,
    "explain_failure": ExplainFailureAnswer,
}
"""Function → what it answers."""


def keys_of(contract: type) -> tuple[frozenset[str], frozenset[str]]:
    """The keys that a typed document must have, and those that it may have as well."""
    required: frozenset[str] = contract.__required_keys__  # type: ignore[attr-defined]
    optional: frozenset[str] = contract.__optional_keys__  # type: ignore[attr-defined]
    return required, optional
