"""The builders that are compared: each builds a directory into an image, and pushes it when asked to."""

import os
import shutil
import subprocess
import time


class Cost:
    """What one build took: seconds on the clock, seconds of processor, and the largest memory in MB."""

    def __init__(self, wall: float, cpu: float, memory: float):
        self.wall, self.cpu, self.memory = wall, cpu, memory


class BuildFailed(Exception):
    pass


def run(command: list[str], log: str, env: dict | None = None) -> tuple[float, float, float]:
    """Runs a command to its end: wall, CPU and peak MB of it and what it waited for."""
    start = time.monotonic()
    with open(log, "ab") as out:
        out.write(("\n$ " + " ".join(command) + "\n").encode())
        out.flush()
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BuildFailed(f"{' '.join(command)}: exit code {process.returncode}, see {log}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Daemon:
    """A process that does the work for a client, with its processor time and memory."""

    def __init__(self, command: list[str], log: str, ready):
        self.process = subprocess.Popen(command, stdout=open(log, "ab"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BuildFailed(f"{command[0]} did not start, see {log}")
            time.sleep(0.1)

    def tree(self) -> list[int]:
        """The process and its descendants."""
        found, ahead = [], [self.process.pid]
        while ahead:
            pid = ahead.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as file:
                        ahead += [int(child) for child in file.read().split()]
            except OSError:
                pass
        return found

    def cpu(self) -> float:
        total = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                total += sum(int(field) for field in fields[11:15])
            except OSError:
                pass
        return total / os.sysconf("SC_CLK_TCK")

    def forget_peaks(self) -> None:
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                pass

    def peak(self) -> float:
        total = 0.0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/status") as file:
                    total += sum(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
            except OSError:
                pass
        return total

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Wharf:
    name = "wharf"

    def __init__(self, program: str, room: str, registry: str, zstd: bool):
        self.program, self.registry = program, registry
        self.options = ["--compression", "zstd"] if zstd else []
        self.store, self.log = os.path.join(room, "wharf-store"), os.path.join(room, "wharf.log")

    def build(self, context: str, image: str, push: bool) -> Cost:
        command = [self.program, "build", "--store", self.store, "--progress", "plain", "-t", image, context]
        return Cost(*run(command + self.options + (["--push"] if push else []), self.log))

    def stop(self) -> None:
        pass


class BuildKit:
    """buildkitd and buildctl, both from the Go module."""

    name = "buildkit"

    def __init__(self, directory: str, room: str, registry: str, zstd: bool):
        self.client, self.options = os.path.join(directory, "buildctl"), ",compression=zstd" if zstd else ""
        self.log, root = os.path.join(room, "buildkit.log"), os.path.join(room, "buildkit")
        os.makedirs(root, exist_ok=True)
        self.socket = f"unix://{root}/bk.sock"
        config = os.path.join(root, "config.toml")
        with open(config, "w") as file:
            file.write(
                f'root = "{root}/root"\n[worker.oci]\n  enabled = true\n  networkMode = "host"\n'
                f'[worker.containerd]\n  enabled = false\n[registry."{registry}"]\n  http = true\n  insecure = true\n'
            )
        command = [os.path.join(directory, "buildkitd"), "--config", config, "--addr", self.socket]
        self.daemon = Daemon(command, self.log, self.answers)

    def answers(self) -> bool:
        asked = subprocess.run([self.client, "--addr", self.socket, "debug", "workers"], capture_output=True)
        return asked.returncode == 0

    def build(self, context: str, image: str, push: bool) -> Cost:
        output = f"type=image,name={image}" + (",push=true,registry.insecure=true" if push else "") + self.options
        self.daemon.forget_peaks()
        before = self.daemon.cpu()
        command = [self.client, "--addr", self.socket, "build", "--frontend", "dockerfile.v0", "--progress", "plain"]
        command += ["--local", f"context={context}", "--local", f"dockerfile={context}", "--output", output]
        wall, cpu, memory = run(command, self.log)
        return Cost(wall, cpu + self.daemon.cpu() - before, memory + self.daemon.peak())

    def stop(self) -> None:
        self.daemon.stop()


class Docker:
    """The engine of Debian's docker.io, with the BuildKit inside it."""

    name = "docker"

    def __init__(self, room: str, registry: str):
        self.log, root = os.path.join(room, "docker.log"), os.path.join(room, "docker")
        os.makedirs(root, exist_ok=True)
        self.env = {"DOCKER_HOST": f"unix://{root}/sock", "DOCKER_BUILDKIT": "1"}
        command = ["/usr/sbin/dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/exec"]
        command += ["-H", f"unix://{root}/sock", "--pidfile", f"{root}/pid", "--iptables=false", "--bridge=none"]
        self.daemon = Daemon(command + ["--insecure-registry", registry], self.log, self.answers)

    def answers(self) -> bool:
        env = {**os.environ, **self.env}
        return subprocess.run(["/usr/bin/docker", "version"], capture_output=True, env=env).returncode == 0

    def build(self, context: str, image: str, push: bool) -> Cost:
        self.daemon.forget_peaks()
        before = self.daemon.cpu()
        command = ["/usr/bin/docker", "build", "--network", "none", "--progress", "plain", "-t", image, context]
        wall, cpu, memory = run(command, self.log, self.env)
        if push:
            more = run(["/usr/bin/docker", "push", image], self.log, self.env)
            wall, cpu = wall + more[0], cpu + more[1]
        return Cost(wall, cpu + self.daemon.cpu() - before, memory + self.daemon.peak())

    def stop(self) -> None:
        self.daemon.stop()


class Buildah:
    name = "buildah"

    def __init__(self, room: str, registry: str):
        self.log, root = os.path.join(room, "buildah.log"), os.path.join(room, "buildah")
        self.common = ["buildah", "--storage-driver", "overlay", "--root", f"{root}/root", "--runroot", f"{root}/run"]

    def build(self, context: str, image: str, push: bool) -> Cost:
        command = ["bud", "--isolation", "chroot", "--layers", "--tls-verify=false", "-t", image, context]
        wall, cpu, memory = run(self.common + command, self.log)
        if push:
            more = run(self.common + ["push", "--tls-verify=false", image], self.log)
            wall, cpu, memory = wall + more[0], cpu + more[1], max(memory, more[2])
        return Cost(wall, cpu, memory)

    def stop(self) -> None:
        pass


class Registry:
    """What all builders push to, on loopback: Debian's docker-registry, or Wharf."""

    def __init__(self, room: str, port: int, wharf: str | None):
        self.address, root = f"127.0.0.1:{port}", os.path.join(room, "registry")
        os.makedirs(root, exist_ok=True)
        command = [wharf, "serve", "--store", root, "--listen", self.address] if wharf else docker_registry(room, root, self.address)
        self.daemon = Daemon(command, os.path.join(room, "registry.log"), self.answers)

    def answers(self) -> bool:
        import urllib.request

        try:
            return urllib.request.urlopen(f"http://{self.address}/v2/", timeout=1).status == 200
        except OSError:
            return False

    def stop(self) -> None:
        self.daemon.stop()


def docker_registry(room: str, root: str, address: str) -> list[str]:
    config = os.path.join(room, "registry.yml")
    with open(config, "w") as file:
        file.write(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n"
            f"http: {{addr: '{address}'}}\nlog: {{level: error}}\n"
        )
    return ["docker-registry", "serve", config]


def missing(program: str) -> bool:
    return shutil.which(program) is None and not os.path.exists(program)


