"""The commands of the ``fmrec`` command line, one module for each family. Nothing else imports them."""
