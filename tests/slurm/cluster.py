"""A real Slurm on this machine alone: munge, a controller and two nodes, in a temporary folder, without systemd.

As root only, since slurmd starts jobs as their users. Everything is stopped at the end, whatever happened.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.sweeps import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
NODES = ("n1", "n2")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
ReturnToService=0
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=20
InactiveLimit=0
MinJobAge=300
NodeName=n[1-2] NodeAddr=127.0.0.1 Port={ports[1]},{ports[2]} CPUs=2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=n[1-2] MaxTime=60 PriorityTier=9 PreemptMode=OFF
"""


def obstacle() -> str | None:
    """Why there can be no Slurm here, in a sentence, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"Slurm is not installed here (no {', '.join(absent)}): apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "Slurm's daemons are tested as root only: slurmd starts jobs as their users"


class Cluster:
    """Slurm's commands against a running test cluster, and its daemons by name (slurmctld, n1, n2)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        self.environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start a daemon in the foreground, with its output in the folder."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node."""
        self.start(name, "slurmd", "-D", "-N", name)

    def kill(self, name: str) -> None:
        """End a daemon and its helpers at once: asked to, the controller takes ten seconds to think it over."""
        process = self.daemons.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def say(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self, *states: str) -> list[tuple[str, str, str, str]]:
        """Jobs in the queue, or those in some states: (id of each task, its raw number, state, node), by number."""
        text = self.say("squeue", "-h", "-r", "-o", "%i|%A|%T|%N")
        found = [tuple(line.split("|")) for line in text.splitlines()]
        return sorted(job for job in found if not states or job[2] in states)  # type: ignore[misc]

    def node_state(self, name: str) -> str:
        """A node's state: idle, mixed, allocated, down, ..."""
        return self.say("sinfo", "-h", "-N", "-n", name, "-o", "%T").split()[0]


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster whose nodes are ready for jobs."""
    cluster = Cluster(folder)
    folder.chmod(0o755)
    (folder / "state").mkdir()
    for node in NODES:
        (folder / f"spool-{node}").mkdir()
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, ports=free_ports(3)))
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    with ExitStack() as at_end:
        at_end.callback(_end, cluster)
        places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={folder}/munge.{name}" for option, name in places.items()]
        cluster.start("munged", "munged", "--foreground", "--force", *options)
        until(lambda: (folder / "munge.socket").exists())
        cluster.start("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            cluster.start_node(node)
        until(lambda: _ready(cluster))
        yield cluster


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _ready(cluster: Cluster) -> bool:
    """Whether both nodes answer."""
    with suppress(AssertionError):
        return all(cluster.node_state(node) == "idle" for node in NODES)
    return False


def _end(cluster: Cluster) -> None:
    """Cancel what runs, then stop the daemons: jobs' own processes first, munge last."""
    if "slurmctld" in cluster.daemons:
        subprocess.run(["scancel", "--user=root"], env=cluster.environment, capture_output=True, timeout=30)
    for pid in _own(cluster):  # what a job left, whatever became of its node
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for name in [*NODES, "slurmctld", "munged"]:
        if name in cluster.daemons:
            cluster.kill(name)


def _own(cluster: Cluster) -> list[int]:
    """Processes with this cluster's configuration in their environment, but for its daemons and this one."""
    mark = f"SLURM_CONF={cluster.folder / 'slurm.conf'}".encode()
    daemons = {process.pid for process in cluster.daemons.values()} | {os.getpid()}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in daemons:
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
