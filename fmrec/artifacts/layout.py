"""Every S3 prefix and file name of the data bucket, once: what is where (docs/contracts.md).

A prefix ends with a slash and is relative to the level above it: ``ENCODED + run + "/" + TRAIN``. Who may
read and write which prefix is in `stacks`, how long objects stay in `stacks.storage`.
"""

RAW = "raw/"
"""Interactions and attributes, as the user uploads them."""
DEFAULT_INTERACTIONS = RAW + "interactions/"
"""Where a data set without a document has its interactions."""

EVENT_QUARANTINE = "quarantine/events/"
"""Events of the HTTP API that the data set's files can't hold any more, since its document has changed."""
ERASURES = "erasures/"
"""``raw/erasures/<data set>/``: one file per user who is erased, by the HTTP API."""

RULES = "rules/"
"""Lists of item ids and CSV side files of business rules, as the user uploads them."""

ENCODED = "encoded/"
"""``encoded/<run>/``, by the Glue job."""
MANIFEST = "manifest.json"
"""Written last: its presence says that the encoding is complete."""
TRAIN = "train/"
TEST = "test/"
FEATURE_INDEX = "feature_index/"
QUARANTINE = "quarantine/"
SEEN = "seen/"
HELDOUT = "heldout/"
USER_FEATURES = "user_features/"
ITEM_FEATURES = "item_features/"
TUNING = "tuning/"
"""A second encoding in the same form, with validation rows in place of the test rows."""

TRIALS = "trials/"
"""In ``embeddings/<run>/`` and ``evaluations/<run>/``: the same of trials of hyperparameters, by number."""

MODELS = "models/"
"""What SageMaker training jobs write: ``models/<job>/output/model.tar.gz``."""

EMBEDDINGS = "embeddings/"
"""``embeddings/<run>/``, by export_embeddings."""
EMBEDDINGS_DOCUMENT = "embeddings.json"
ITEMS = "items/"
QUERIES = "queries/"
QUERY_OFFSETS = "query_offsets/"
PICK_WEIGHTS = "pick_weights.npy"
"""How much a pick of each item counts in co-occurrence's dimensions, where there are some."""
FOLDING_IN = "folding_in.json"
"""Next to `EMBEDDINGS_DOCUMENT`: with which weights users are folded into the model."""

NEIGHBOURS = "neighbours/"
"""``neighbours/<run>/``, by the k-NN batch transform."""
RECOMMENDATIONS = "recommendations/"
"""``recommendations/<run>/``, by publish_recommendations."""

SCORES = "scores/"
"""``scores/<run>/``, by the FM batch transform."""
PREDICTIONS = "predictions/"
"""``predictions/<run>/``, by choose_threshold."""
PAIRS = "pairs/"
DECISION = "decision.json"

EVALUATIONS = "evaluations/"
"""``evaluations/<run>/``, by evaluate_ranking and register_model."""
RANKING = "ranking.json"
MODEL_RECORD = "model.json"

RUNS = "runs/"
"""``runs/<run>/``, by write_report."""
REPORT = "report.json"
REPORT_PAGE = "report.html"

CHAMPION = "champion/"
"""What serves, by write_report."""
CHAMPION_RECORD = CHAMPION + "model.json"
"""The model whose lists are served."""
SCORING_RECORD = CHAMPION + "predict-rating.json"
"""The model that the scoring endpoint answers with."""
CHAMPION_HISTORY = "history/"
"""Next to the champion's record: one file per execution that has changed what serves."""

ACCOUNT_CACHE = "cache/account.json"
"""Quotas and prices, kept for a while by choose_instances."""

INTERMEDIATE = (ENCODED, EMBEDDINGS, NEIGHBOURS, SCORES)
"""What a run can make again; everything else never expires."""
