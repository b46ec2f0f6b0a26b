"""The files in launch/ say what accelerate, bash and SLURM understand, and start `medmoe train`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parent.parent / "launch"
pytestmark = [
    pytest.mark.skipif(not LAUNCH.is_dir(), reason="launch/ comes with the repository only"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="no bash"),
]
COMMAND = ["medcare", "--base", "some/name", "--data", "a b=pubmedqa:x", "--out"]
SRUN = """#!/usr/bin/env bash
echo "srun $1" >> "$SAID"
shift
code=0
for ((i = 0; i < SLURM_NTASKS; i++)); do
    SLURM_PROCID=$i SLURM_LOCALID=$((i % 2)) "$@" || code=$?
done
exit $code
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == show ]] && printf 'node3\\nnode4\\n' || echo "scontrol $*" >> "$SAID"
"""
MEDMOE = """#!/usr/bin/env bash
where="$MASTER_ADDR:$MASTER_PORT $RANK/$WORLD_SIZE on $LOCAL_RANK"
printf '%s' "medmoe $where" >> "$SAID"
printf ' [%s]' "$@" >> "$SAID"
echo >> "$SAID"
[[ $MEDMOE_ENDS == 0 ]] && touch "$7/DONE"
exit "$MEDMOE_ENDS"
"""


@pytest.fixture
def stage(tmp_path):
    """A place whose srun, scontrol, medmoe and accelerate only note what they were given."""
    (tmp_path / "bin").mkdir()
    echo = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" > "$SAID"\n'
    programs = {"srun": SRUN, "scontrol": SCONTROL, "medmoe": MEDMOE, "accelerate": echo}
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def play(*command, **variables):
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SAID": str(tmp_path / "said"),
            "SLURM_JOB_ID": "41007", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node[3-4]",
            **variables,
        }  # fmt: skip
        (tmp_path / "said").write_text("")
        done = subprocess.run(
            ["bash", *map(str, command)], env=environment, capture_output=True, text=True
        )
        return done, (tmp_path / "said").read_text().splitlines()

    return play


@pytest.mark.parametrize("name", ["train.sh", "slurm.sbatch"])
def test_bash_reads_the_scripts(name):
    subprocess.run(["bash", "-n", str(LAUNCH / name)], check=True)


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_accelerate_reads_its_files(gpus):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import DistributedType
    from accelerate.utils.launch import prepare_multi_gpu_env

    path = LAUNCH / f"gpus-{gpus}.yaml"
    config = load_config_from_file(str(path))  # refuses keys that it does not know
    kind = DistributedType.NO if gpus == 1 else DistributedType.MULTI_GPU
    assert (config.num_processes, config.distributed_type) == (gpus, kind)
    assert not config.use_cpu
    assert not getattr(config, "fsdp_config", None)  # `medmoe train --shard` cuts the base
    line = ["--config_file", str(path), "-m", "medmoe_lite.cli", "train", "medcare", "--shard"]
    options = launch_command_parser().parse_args(line)
    assert options.module
    assert options.training_script == "medmoe_lite.cli"
    assert options.training_script_args == ["train", "medcare", "--shard"]
    filled, default, _ = _validate_launch_command(options)  # as `accelerate launch` does
    assert default.num_processes == filled.num_processes == gpus
    assert (filled.multi_gpu, filled.use_fsdp, filled.cpu) == (gpus > 1, False, False)
    if gpus > 1:
        environment = prepare_multi_gpu_env(filled)
        assert filled.nproc_per_node == str(gpus)
        assert "ACCELERATE_USE_FSDP" not in environment


def test_train_starts_the_command_with_the_file_of_that_number(stage):
    done, said = stage(LAUNCH / "train.sh", "8", *COMMAND, "runs/x", "--shard")
    assert done.returncode == 0, done.stderr
    start = ["launch", "--config_file", str(LAUNCH / "gpus-8.yaml"), "-m", "medmoe_lite.cli"]
    assert said == [*start, "train", *COMMAND, "runs/x", "--shard"]
    done, said = stage(LAUNCH / "train.sh", "3", *COMMAND, "runs/x")
    assert (done.returncode, said) == (2, [])
    assert "type 1, 2 or 8 as the number of GPUs" in done.stderr


def test_a_job_starts_one_process_a_gpu_and_ends_when_done(stage, tmp_path):
    out = tmp_path / "out of it"
    out.mkdir()
    done, said = stage(LAUNCH / "slurm.sbatch", *COMMAND, out, MEDMOE_ENDS="0")
    assert done.returncode == 0, done.stderr
    assert said[0] == "srun --kill-on-bad-exit=1"
    words = "".join(f" [{word}]" for word in ("train", *COMMAND, out))
    assert said[1:] == [f"medmoe node3:21007 {i}/4 on {i % 2}{words}" for i in range(4)]


def test_a_stopped_job_queues_itself_again_and_a_broken_one_does_not(stage, tmp_path):
    script = LAUNCH / "slurm.sbatch"
    done, said = stage(script, *COMMAND, tmp_path, MEDMOE_ENDS="130")
    assert (done.returncode, said[-1]) == (0, "scontrol requeue 41007")
    again = {"MEDMOE_ENDS": "130", "SLURM_RESTART_COUNT": "50"}
    done, said = stage(script, *COMMAND, tmp_path, **again)
    assert (done.returncode, said[-1].split()[0]) == (130, "medmoe")
    done, said = stage(script, *COMMAND, tmp_path, MEDMOE_ENDS="1")
    assert (done.returncode, said[-1].split()[0]) == (1, "medmoe")
    assert "ended with code 1" in done.stderr
    done, said = stage(script, "medcare", "--base", "x")
    assert (done.returncode, said) == (2, [])
    assert "give --out a folder" in done.stderr


def test_the_command_has_the_options_that_the_files_use():
    from medmoe_lite.train.command import parser

    shown = parser().format_help()
    for option in ("--base", "--data", "--out", "--shard"):
        assert option in shown, option
