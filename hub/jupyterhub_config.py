"""A hub for a class, on one machine with Docker: `jupyterhub --config hub/jupyterhub_config.py`.

Limits come from what was measured (data/recorded/hub.json, docs/hub.md). What every school does
in its own way stands at the end: who may log in, and https.
"""

import os
import sys

c = get_config()  # noqa: F821

# One container a student, of the image that hub/Dockerfile makes.
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ.get("MEDMOE_IMAGE", "medmoe-class:0.1.0")
c.DockerSpawner.remove = True  # the container goes, the home below stays
c.DockerSpawner.volumes = {"medmoe-{username}": "/home/student"}
c.DockerSpawner.notebook_dir = "/home/student"
c.Spawner.default_url = "/lab"

# A kernel of the heaviest notebook, at its peak, and the server fit, and a small second kernel.
# Whoever takes more loses a kernel of their own and nobody else does.
c.Spawner.mem_limit = "2G"
c.Spawner.cpu_limit = 1.0
c.Spawner.environment = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    # Freed memory goes back to the machine at once; docs/hub.md has what that brings.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}

# A class arrives in the same minute: start ten at a time, the others wait in line.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 60

# The hub as the containers see it, on a network of their own: docker network create medmoe
c.JupyterHub.hub_ip = "0.0.0.0"
c.DockerSpawner.network_name = "medmoe"
c.DockerSpawner.use_internal_ip = True
c.JupyterHub.hub_connect_ip = os.environ.get("MEDMOE_HUB_ADDRESS", "172.17.0.1")

# Whoever has done nothing for an hour gives the memory back; the files stay.
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    }
]

# Yours to choose. As it stands nobody can log in, which is the safe way to be wrong.
#   c.JupyterHub.authenticator_class = "..."        your school's log-in
#   c.Authenticator.allowed_users = {"ada", "ben"}
#   c.Authenticator.admin_users = {"teacher"}
#   c.JupyterHub.ssl_key, c.JupyterHub.ssl_cert     or a proxy in front that speaks https
