#!/bin/bash
# A stage in shards, each with a GPU: sbatch --array=0-7 examples/slurm/shards.sh sample base_b
# Shards skip what is done. A task that failed is queued again by `scontrol requeue JOB_3`; a new
# array of that task alone, --array=3, would do the shards of all others too. The stage then finds
# all of it finished, checks it and puts it together: dvc repro sample@base_b
#SBATCH --job-name=xmdpt-shards
#SBATCH --array=0-7
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
source .venv/bin/activate
shard=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))
xmdpt stage "$@" --shard "$shard/$SLURM_ARRAY_TASK_COUNT"
