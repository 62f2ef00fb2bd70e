#!/bin/bash
# Trains one run on whole machines: sbatch examples/slurm/train.sh base_b weights/b
# Further words are those of `xmdpt train`. The job is queued again when its time is over or another
# takes its place, and the same command goes on from the last saved state.
#SBATCH --job-name=xmdpt-train
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
run=${1:?needs a run of params.yaml} out=${2:?needs a folder for its weights}
shift 2
source .venv/bin/activate
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1 # two minutes before the end of its time
srun --kill-on-bad-exit=1 python -m torch.distributed.run \
	--nnodes "$SLURM_NNODES" --nproc-per-node "${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}" \
	--rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
	--rdzv-endpoint "${hosts%%$'\n'*}:${PORT:-29500}" \
	-m xmdpt train "$run" --out "$out" "$@" &
wait $!
