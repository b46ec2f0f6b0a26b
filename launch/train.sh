#!/usr/bin/env bash
# Train on 1, 2 or 8 GPUs of this machine:
#
#     bash launch/train.sh 2 medcare --base Qwen/Qwen1.5-1.8B-Chat --data ... --out runs/medcare
#     bash launch/train.sh 8 medcare --base Qwen/Qwen2.5-72B-Instruct --data ... --out runs/big --shard
#
# Everything after the number goes to `medmoe train`. The same line goes on after a stop.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config="$here/gpus-${1:-}.yaml"
if [[ ! -f $config ]]; then
    echo "there is no $config: type 1, 2 or 8 as the number of GPUs, or copy one of these" \
        "files and change num_processes" >&2
    exit 2
fi
shift
exec accelerate launch --config_file "$config" -m medmoe_lite.cli train "$@"
