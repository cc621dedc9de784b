"""What one scenario runs on: a fresh folder, free ports, and programs that do not outlive it."""

import os
import secrets
import signal
import socket
import subprocess
import time

from wire import RpcError

TAIL_LINES = 40
POLL_S = 0.5


class Failure(Exception):
    """The scenario found something wrong; the message says what."""


def expect(what, found, wanted):
    """Fails where something is not as it should be."""
    if found != wanted:
        raise Failure(f"{what}: {found}, not {wanted}")


class Stage:
    """Starts programs, each in its own process group with its own log, and ends them all."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = []
        self.ports = set()
        self.jwt = folder / "jwt.hex"
        self.secret = secrets.token_hex(32)
        self.started = time.monotonic()
        folder.mkdir(parents=True)
        self.jwt.write_text(self.secret + "\n")

    def say(self, text):
        """One line of progress."""
        print(f"  {time.monotonic() - self.started:6.1f} s  {text}", flush=True)

    def port(self):
        """A port that is free for TCP and UDP and that this stage has not given away."""
        while True:
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind(("127.0.0.1", 0))
                port = tcp.getsockname()[1]
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in self.ports:
                self.ports.add(port)
                return port

    def start(self, name, command, cwd=None, **settings):
        """Starts a program whose log is `name`.log; `settings` are added to the environment."""
        log = self.folder / f"{name}.log"
        settings = {key: str(value) for key, value in settings.items()}
        program = Program(name, [str(word) for word in command], log, cwd, settings)
        self.programs.append(program)
        return program

    def finish(self, name, command, seconds, cwd=None, **settings):
        """Runs a program to its end, and tells those of its lines that begin with a dash. Others
        have to go on running."""
        program = self.start(name, command, cwd, **settings)
        program.may_end = True
        self.wait(f"{name} ends", seconds, lambda: program.code() is not None)
        for line in program.log.read_text(errors="replace").splitlines():
            if line.startswith("- "):
                self.say(line[2:])
        if program.code():
            raise Failure(f"{name} ended with code {program.code()}: see {name}.log")

    def wait(self, what, seconds, condition):
        """The first truthy answer of `condition`; nodes that do not answer are asked again. All
        programs have to go on running."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            for program in self.programs:
                if program.code() is not None and not program.may_end:
                    raise Failure(f"{program.name} ended with code {program.code()}")
            try:
                last = condition()
                if last:
                    return last
            except (OSError, RpcError) as error:
                last = error
            time.sleep(POLL_S)
        raise Failure(f"{what}: not within {seconds} s; last answer: {last}")

    def tails(self):
        """The last lines of every log."""
        for path in sorted(self.folder.glob("*.log")):
            yield f"--- {path}"
            yield from path.read_text(errors="replace").splitlines()[-TAIL_LINES:]

    def close(self):
        """Kills what still runs."""
        for program in self.programs:
            program.kill()


class Program:
    """A running program."""

    def __init__(self, name, command, log, cwd, settings):
        self.name = name
        self.log = log
        self.may_end = False
        environment = os.environ | settings
        with open(log, "ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            self.process = subprocess.Popen(
                command,
                cwd=cwd or log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def code(self):
        """How it ended; None while it runs."""
        return self.process.poll()

    def stop(self, seconds, number=signal.SIGTERM):
        """Asks it to end, and gives its exit code."""
        self.may_end = True
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s of {number!r}") from None

    def kill(self):
        """Ends it and its children at once."""
        self.may_end = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
