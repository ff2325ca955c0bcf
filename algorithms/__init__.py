"""Stand-ins for the SageMaker images of Factorization Machines and k-NN.

Programs that honour SageMaker's container contract (``train`` and ``serve`` over a folder shaped
like ``/opt/ml``), so that what works against them works against the images.

What they don't do as the images do, on purpose:

- one host trains: ``resourceconfig.json`` with more is refused; Pipe mode is refused too;
- no GPU, so that ``Number of GPUs being used`` is always 0;
- the seed is fixed, and the environment variable ``FMREC_STANDIN_SEED`` sets another one (default 0). The
  same data, hyperparameters and seed give the same model on any number of threads. Threads are the cores
  that the process may use, or ``OMP_NUM_THREADS``;
- an FM trained on dense records keeps the layout of parameters that sparse records lead to;
- ``Accept`` with no type that is offered gets 406; what the images answer isn't known;
- COSINE distances of k-NN are cosines, in ascending order; the images' form isn't known;
- a neighbour search of k-NN that finds fewer than k vectors in the lists probed goes through all lists.
"""
