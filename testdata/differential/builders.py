"""Wharf and those it is compared with: each builds a case, and says what its linter finds in it when it has one."""

import json
import re
import subprocess

from image import Image

PATIENCE = 120


def arguments(room):
    """Lines of `arguments` as pairs; the directory of a named context as a path."""
    path = room / "arguments"
    for line in path.read_text().splitlines() if path.exists() else []:
        flag, value = line.split(" ", 1)
        if flag == "--build-context":
            name, directory = value.split("=", 1)
            value = f"{name}={room / directory}"
        yield flag, value


def run(*commands, result):
    """The image, or why there is none."""
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return None, ["it does not end"]
        if done.returncode != 0:
            said = [line for line in (done.stderr or done.stdout).strip().splitlines() if not line.startswith("#")]
            return None, said[-12:]
    return Image(result), None


class Wharf:
    def __init__(self, binary, shell, work):
        self.binary, self.shell, self.store = binary, shell, work / "store"

    def command(self, room):
        """The beginning of a command."""
        command = [self.binary, "--progress=quiet", "--store", str(self.store), "build", str(room / "context")]
        command += ["-f", str(room / "Dockerfile"), "--build-context", f"shell=docker-image://{self.shell}"]
        return command + [word for pair in arguments(room) for word in pair]

    def build(self, room):
        result = room / "wharf.tar"
        return run([*self.command(room), "-o", f"type=oci,dest={result}"], result=result)

    def checks(self, room):
        """What the linter finds, as `Rule line`; None for a file that cannot be built."""
        command = [*self.command(room), "--call=check,format=json,ignorestatus=true"]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout or '{"buildError": 1}')
        if "buildError" in answer:
            return None
        return sorted(f"{one['ruleName']} {one['location']['ranges'][0]['start']['line']}" for one in answer["warnings"])


class BuildKit:
    """buildkitd, which reads Dockerfiles as the frontend of its own version does. Its address is in BUILDKIT_HOST."""

    name = "buildkit"

    def __init__(self, shell):
        self.shell = shell

    def command(self, room):
        command = ["buildctl", "build", "--progress=plain", "--frontend=dockerfile.v0"]
        command += ["--local", f"context={room}/context", "--local", f"dockerfile={room}"]
        command += ["--opt", f"context:shell=docker-image://{self.shell}"]
        for number, (flag, value) in enumerate(arguments(room)):
            if flag == "--build-context":
                name, directory = value.split("=", 1)
                command += ["--local", f"named{number}={directory}", "--opt", f"context:{name}=local:named{number}"]
            elif flag == "--target":
                command += ["--opt", f"target={value}"]
            else:
                command += ["--opt", f"{flag.removeprefix('--')}:{value}"]
        return command

    def build(self, room):
        result = room / "buildkit.tar"
        return run([*self.command(room), "--output", f"type=oci,dest={result}"], result=result)

    def checks(self, room):
        command = [*self.command(room), "--opt", "requestid=frontend.lint"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            return None
        found = re.findall(r"^WARNING: (\w+).*\n(?:.*\n)*?Dockerfile:(\d+)$", done.stdout, re.MULTILINE)
        return sorted(f"{rule} {line}" for rule, line in found)

    def wants_a_layer(self, _error):
        return False

    def lives(self):
        return subprocess.run(["buildctl", "debug", "workers"], capture_output=True).returncode == 0


class Docker:
    """Debian's Docker engine, which has an image `shell` and is found by DOCKER_HOST."""

    name = "docker"

    def build(self, room):
        result, name = room / "docker.tar", f"case:{room.name}"
        # It has no bridge to give to RUN.
        build = ["/usr/bin/docker", "build", "--quiet", "--network=host", "-f", str(room / "Dockerfile"), "-t", name]
        build += [word for pair in arguments(room) for word in pair]
        save = ["/usr/bin/docker", "save", "-o", str(result), name]
        return run([*build, str(room / "context")], save, result=result)

    def checks(self, _room):
        """Its frontend is older than the linter."""
        return None

    def wants_a_layer(self, error):
        """It builds images without one, and cannot export them."""
        return error is not None and "empty export" in " ".join(error)

    def lives(self):
        return subprocess.run(["/usr/bin/docker", "version"], capture_output=True).returncode == 0
