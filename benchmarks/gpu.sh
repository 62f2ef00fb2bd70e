#!/usr/bin/env bash
# All timings of one GPU, for benchmarks/ and docs/results/speed.md: about 8 minutes of an H200.
#     bash benchmarks/gpu.sh [OUT [DEVICE [SIZES]]]
set -euo pipefail
out="${1:-benchmarks/$(date +%F)_gpu}"
device="${2:-cuda}"
sizes="${3:-s b l}"
mkdir -p "$out"
for size in $sizes; do
	xmdpt bench sample --size "$size" --batch-size 8 --repeats 10 --device "$device" \
		--out "$out/sample_$size.json" --figure "$out/sample_$size.png"
	xmdpt bench train --size "$size" --batch-size 32 --repeats 10 --device "$device" \
		--out "$out/train_$size.json" --figure "$out/train_$size.png"
done
xmdpt bench growth --size "${sizes%% *}" --batch-size 8 --repeats 5 --device "$device" \
	--out "$out/growth.json" --figure "$out/growth.png"
xmdpt bench networks --models all --batch-size 8 --repeats 5 --device "$device" \
	--out "$out/networks.json"
