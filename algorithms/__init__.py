"""Stand-ins for the SageMaker images of Factorization Machines and k-NN.

Programs that honour SageMaker's container contract (``train`` and ``serve`` over a folder shaped
like ``/opt/ml``), so that what works against them works against the images.
"""
