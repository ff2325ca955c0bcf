"""The state machine, from raw interactions to published recommendations.

`definition` is a pure function of the settings. Its fragments: `training` (check the input, encode,
choose instances, train), `drift` (the champion's data and lists), `ensemble` (several trainings, one index),
`tuning` (hyperparameters by validation rows), `quality_gate` (ranking, thresholds, popularity, the champion),
`registry` (SageMaker Model Registry, promotions), `retrieval` (embeddings, k-NN, batch transform, publish),
`scoring` (held-out pairs, the decision threshold), `serving` and `smoke_tests` (the endpoint), `outcome`
(report, messages, the one failure path); `candidates` is the loop over instances and `transforming` the batch
transform that they share, and `state_builders` builds single states.
"""

from __future__ import annotations

from typing import Any

from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow import (
    drift,
    ensemble,
    outcome,
    publishing_lock,
    quality_gate,
    registry,
    retrieval,
    scoring,
    serving,
    training,
    tuning,
)
from stacks.workflow.candidates import choose
from stacks.workflow.state_builders import INTEGRATIONS, merge

SUBSTITUTIONS = (
    *INTEGRATIONS,
    *("DataBucket", "Key", "Table", "Topic", "SageMakerRole", "EncodingJob"),
    *("FactorizationMachinesImage", "KnnImage"),
    *(
        "CheckInput",
        "CompareData",
        "ChooseInstances",
        "ProposeTrials",
        "EvaluateRanking",
        "CheckQuality",
        "ExportEmbeddings",
        "RegisterModel",
    ),
    *("PublishRecommendations", "PublishPopular", "SmokeTestEndpoint", "ChooseThreshold", "SmokeTestScoring"),
    *("AcquirePublishingLock", "RemoveDepartedUsers", "CompareLists"),
    *("WriteReport", "ExplainFailure"),
)
"""What the stack has to fill in for ``${…}``."""


def definition(settings: Settings) -> dict[str, Any]:
    """Return the machine in the Amazon States Language."""
    policy = Policy.from_mapping(settings.instances.policy)
    return {
        "Comment": "From raw interactions to everyone's top-N with factorization machines and k-NN",
        "QueryLanguage": "JSONata",
        "StartAt": training.BEGIN,
        "States": merge(
            training.begin(settings),
            training.check_input(settings),
            training.encode(settings, next_state=training.COMPARE),
            drift.compare(next_state=tuning.WANTED),
            tuning.tune(settings, policy),
            choose(training.CHOOSE, next_state=registry.TRAINED),
            registry.skip_training(trained=publishing_lock.ACQUIRE, otherwise=ensemble.WANTED),
            ensemble.train(settings, policy, one=training.FM.take, next_state=quality_gate.PURPOSE),
            training.train(settings, policy, next_state=quality_gate.PURPOSE),
            retrieval.export(next_state=quality_gate.MEASURE),
            registry.register(settings, next_state=quality_gate.GOOD_ENOUGH),
            quality_gate.judge(judged=registry.REGISTER, passed=publishing_lock.ACQUIRE),
            publishing_lock.acquire(lists=retrieval.KNN.take, scores=scoring.MODEL),
            retrieval.index(settings, policy),
            retrieval.model(settings),
            retrieval.rank(settings),
            retrieval.publish(settings, next_state=drift.COMPARE_LISTS),
            drift.compare_lists(next_state=serving.WANTED),
            scoring.score(settings, next_state=serving.WANTED),
            serving.endpoint(settings, next_state=registry.BY_HAND),
            registry.approve(next_state=outcome.REPORT),
            outcome.success(),
            outcome.failure_path(),
        ),
    }
