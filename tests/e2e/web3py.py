"""Scenarios `web3py` and `web3py-dapp`: the tests that web3.py ships for nodes, on a dev chain; and
what dApps do with it there.

The tests are run by `test_el.py` of the tools beside the recorded data. Those that cannot pass
stand in etc/expected-failures.toml as `web3py/<class>::<test>`; they have to fail.
"""

import shutil
import tomllib
import xml.etree.ElementTree as xml

from dapp import HERE, KEY, ROOT, SCRIPT_S, dapp, data, open_chain, plan_file, unpacked
from records import NotRun
from stage import Failure

TESTS_S = 110
# Of a node's own accounts, and of one particular network.
LEFT_OUT = ("sign", "modify", "chain_id", "block_identifier", "peer_count")
TESTS = 177
PASSES_MIN = 169
PREFIX = "web3py/"
# The tests sign a transaction for the chain with this id.
CHAIN_ID = 131_277_322_940_537


def web3py(stage, setup):
    """web3.py's own tests of nodes on a dev chain: at least 169 of 177 pass."""
    tests = data().parent / "tools" / "web3py" / "test_el.py"
    if not tests.is_file():
        raise NotRun(f"{tests} is not there")
    home = setup.packages("web3py")
    chain = open_chain(stage, setup, "--dev.chain-id", CHAIN_ID)
    for path in (tests, HERE / "conftest.py"):
        shutil.copy(path, stage.folder)
    report = stage.folder / "report.xml"
    program = stage.start(
        "web3py",
        [
            home / "bin" / "python",
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"),
            *("-k", " and ".join(f"not {word}" for word in LEFT_OUT)),
            "test_el.py",
        ],
        EL_URL=chain.http,
        EL_KEY=KEY,
    )
    # It ends with 1 where a test fails.
    program.may_end = True
    stage.wait("the tests end", TESTS_S, lambda: program.code() is not None)
    if not report.is_file():
        raise Failure("no report: see web3py.log")
    judge(stage, outcomes(report), expected_failures())
    chain.stop()


def web3py_dapp(stage, setup):
    """web3.py on a dev chain: tokens, Uniswap, ERC-4337; reorgs, failures, simulations, traces."""
    python = setup.packages("web3py") / "bin" / "python"

    def scenario(stage, chain, packages):
        unpacked(stage, chain, packages)
        command = [python, "-B", HERE / "web3py_dapp.py"]
        plan = plan_file(stage, chain)
        stage.finish("web3py-dapp", command, SCRIPT_S, E2E_PLAN=plan, E2E_KEY=KEY)

    dapp(stage, setup, "dapp", scenario)


def outcomes(report):
    """What each test said when it failed, by its name; of one that passed an empty text."""
    found = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname').rpartition('.')[2]}::{case.get('name')}"
        failures = [part for part in case if part.tag in ("failure", "error")]
        skips = [part for part in case if part.tag == "skipped"]
        if skips and skips[0].get("type") != "pytest.xfail":
            failures += skips
        lines = [(part.get("message") or part.text or "failed").splitlines() for part in failures]
        found[name] = " ".join(words[0] for words in lines if words) or ("failed" if failures else "")
    return found


def expected_failures():
    """Reasons by the names of tests."""
    failures = tomllib.loads((ROOT / "etc" / "expected-failures.toml").read_text())["failure"]
    entries = [entry for entry in failures if entry["fixture"].startswith(PREFIX)]
    return {entry["fixture"].removeprefix(PREFIX): entry["reason"] for entry in entries}


def judge(stage, found, expected):
    """All faults at once."""
    passes = [name for name, why in found.items() if not why]
    stage.say(f"{len(passes)} of {len(found)} tests pass, {len(expected)} are expected to fail")
    faults = [f"{name}: {why}" for name, why in found.items() if why and name not in expected]
    faults += [f"{name}: passes, though expected to fail" for name in passes if name in expected]
    faults += [f"{name}: expected to fail, and not run" for name in expected if name not in found]
    if len(found) != TESTS:
        faults.append(f"{len(found)} tests ran, not {TESTS}")
    if len(passes) < PASSES_MIN:
        faults.append(f"{len(passes)} tests pass, fewer than {PASSES_MIN}")
    if faults:
        raise Failure("\n".join(faults))
