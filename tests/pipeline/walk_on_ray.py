"""A program: the small walk-forward on a Ray cluster of two nodes of this machine; prints what it found.

Arguments: a folder. Prints the path of the evaluation, and on how many nodes tasks ran.
"""

import json
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from polyscale.pipeline.walk.spread import Backend, spread
from tests.pipeline.walk_market import run_walk, walk_config


def where(_task):
    """The node that a task runs on, and its threads."""
    import os
    import time

    time.sleep(0.5)
    return ray.get_runtime_context().get_node_id(), os.environ["OMP_NUM_THREADS"]


if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=True)
    found = [result for _, result in spread(where, [1, 2, 3, 4], 2, Backend.RAY)]
    folder, _ = run_walk(Path(sys.argv[1]), walk_config(seeds=1), jobs=2, backend=Backend.RAY)
    told = {
        "evaluation": str(folder.path),
        "nodes": len({node for node, _ in found}),
        "threads": sorted({threads for _, threads in found}),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    ray.shutdown()
    cluster.shutdown()
