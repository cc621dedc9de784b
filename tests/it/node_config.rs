//! `fugue node` as its operators know it: where its settings come from, `fugue config check`, the
//! example file, completions and manual; and how it starts, tells of itself, and stops.

use crate::{
    import_support::{DESTRUCTIVE, MODERN, Place, Ran, text},
    node_support::{Running, fugue},
    support::root,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};
use tempfile::TempDir;

/// A folder with a file of settings.
struct Files(TempDir);

impl Files {
    fn new(settings: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        std::fs::write(files.settings(), settings).expect("a written file");
        files
    }

    fn settings(&self) -> PathBuf {
        self.0.path().join("fugue.toml")
    }

    /// `fugue config check` of the file.
    fn check(&self, variables: &[(&str, &str)], flags: &[&str]) -> Ran {
        let path = self.settings();
        let mut command = fugue(&["config", "check", "--datadir", "data", "--config", text(&path)]);
        command.current_dir(self.0.path()).args(flags).envs(variables.iter().copied());
        Ran::of(command)
    }
}

/// `fugue config check` without a file.
fn check(flags: &[&str]) -> Ran {
    Ran::of(fugue(&[&["config", "check", "--datadir", "data"][..], flags].concat()))
}

/// Value and origin of each setting that is shown; no value where it is not set.
fn shown(ran: &Ran) -> BTreeMap<String, (Option<String>, String)> {
    let mut table = String::new();
    let mut settings = BTreeMap::new();
    for line in ran.stdout.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
            continue;
        }
        let (setting, origin) = line.rsplit_once("  # ").unwrap_or_else(|| panic!("{line}: {ran}"));
        let (key, value) = setting.split_once(" =").unwrap_or_else(|| panic!("{line}: {ran}"));
        let (key, value) = match key.strip_prefix("# ") {
            Some(key) => (key, None),
            None => (key, Some(value.trim().to_owned())),
        };
        settings.insert(format!("{table}{key}"), (value, origin.to_owned()));
    }
    settings
}

#[track_caller]
fn assert_shown(ran: &Ran, key: &str, value: &str, origin: &str) {
    let settings = shown(ran);
    let found = settings.get(key).unwrap_or_else(|| panic!("no {key}: {ran}"));
    assert_eq!(found.0.as_deref(), Some(value), "{key}: {ran}");
    assert!(found.1.ends_with(origin), "{key} from {}, not {origin}: {ran}", found.1);
}

#[test]
fn flags_come_before_the_environment_before_the_file_before_defaults() {
    let key = "authrpc.port";
    assert_shown(&check(&[]).ends(0), key, "8551", "default");
    let files = Files::new("threads = 3\n\n[authrpc]\nport = 1001\n\n[http]\nenabled = true\n");
    let ran = files.check(&[], &[]).ends(0);
    assert_shown(&ran, key, "1001", "fugue.toml:4");
    assert_shown(&ran, "threads", "3", "fugue.toml:1");
    assert_shown(&ran, "authrpc.addr", "\"127.0.0.1\"", "default");
    let variables = [("FUGUE_AUTHRPC_PORT", "1002")];
    let ran = files.check(&variables, &[]).ends(0);
    assert_shown(&ran, key, "1002", "environment, FUGUE_AUTHRPC_PORT");
    let ran = files.check(&variables, &["--authrpc.port", "1003"]).ends(0);
    assert_shown(&ran, key, "1003", "flag");

    // A switch can be taken back wherever it was set.
    let key = "http.enabled";
    assert_shown(&files.check(&[], &[]).ends(0), key, "true", "fugue.toml:7");
    let variables = [("FUGUE_HTTP", "false")];
    assert_shown(&files.check(&variables, &[]).ends(0), key, "false", "environment, FUGUE_HTTP");
    assert_shown(&files.check(&variables, &["--http"]).ends(0), key, "true", "flag");
    assert_shown(&files.check(&[], &["--http=false"]).ends(0), key, "false", "flag");
}

#[test]
fn lists_and_the_name_of_the_file_may_come_from_everywhere() {
    let files = Files::new("[http]\napi = [\"eth\", \"txpool\"]\ncorsdomain = []\n");
    let ran = files.check(&[], &[]).ends(0);
    assert_shown(&ran, "http.api", "[\"eth\", \"txpool\"]", "fugue.toml:2");
    assert_shown(&ran, "http.corsdomain", "[]", "fugue.toml:3");
    let ran = files.check(&[("FUGUE_HTTP_API", "net,web3")], &[]).ends(0);
    assert_shown(&ran, "http.api", "[\"net\", \"web3\"]", "environment, FUGUE_HTTP_API");
    let ran = files.check(&[], &["--http.api", "eth"]).ends(0);
    assert_shown(&ran, "http.api", "[\"eth\"]", "flag");

    let mut command = fugue(&["config", "check", "--datadir", "data"]);
    command.env("FUGUE_CONFIG", files.settings());
    assert_shown(&Ran::of(command).ends(0), "http.corsdomain", "[]", "fugue.toml:3");
}

#[test]
fn a_fault_of_the_file_is_told_with_its_line() {
    for (settings, told) in [
        ("threads = 4\n[authrpc]\nprot = 1\n", ":3: unknown key \"authrpc.prot\""),
        ("\nhttp = true\n", ":2: unknown key \"http\"; it is \"enabled\" in [http]"),
        ("[nonsense]\n", ":1: unknown table \"nonsense\""),
        ("config = \"other.toml\"\n", ":1: unknown key \"config\""),
        ("[authrpc]\nport = \"many\"\n", ":2: authrpc.port: invalid value 'many' for"),
        ("[txpool]\n\npending-size = 0\n", ":3: txpool.pending-size: invalid value '0' for"),
        ("mode = 1.5\n", ":1: mode: no setting has a value of this type: float"),
        ("mode = [\"occ\"]\n", ":1: mode: no setting has a value of this type: array"),
        ("[log]\nformat = \"xml\"\n", ":2: log.format: invalid value 'xml' for"),
        ("threads = 4\nmode = \n", ":2: "),
    ] {
        let ran = Files::new(settings).check(&[], &[]).ends(2);
        assert_eq!(ran.stdout, "", "{ran}");
        ran.says("fugue.toml").says(told);
    }
    check(&["--config", "nowhere.toml"]).ends(2).says("nowhere.toml: ");
    // The node does not start with it either.
    let files = Files::new("[authrpc]\nprot = 1\n");
    let path = files.settings();
    let node = fugue(&["node", "--datadir", "data", "--config", text(&path)]);
    Ran::in_time("a node with a bad file", node)
        .ends(2)
        .says("fugue.toml:2: unknown key \"authrpc.prot\"");
}

#[test]
fn the_check_tells_all_faults_of_the_settings() {
    let files = Files::new("");
    let secret = files.0.path().join("secret");
    std::fs::write(&secret, "not a secret").expect("a written file");
    let flags = ["--authrpc.jwtsecret", text(&secret), "--metrics", "127.0.0.1:8551"];
    let ran = check(&[&flags[..], &["--chain", "nonsense"]].concat()).ends(2);
    let ran = ran.says("a JWT secret is 32 bytes in hex");
    let ran = ran.says("--metrics: 127.0.0.1:8551 is also that of --authrpc.port");
    ran.says("--chain nonsense: neither one of mainnet");
    check(&["--builder.extradata", &"x".repeat(33)]).ends(2).says("33 bytes, at most 32");
    let ran = check(&["--http.corsdomain", "app.example", "--ws.origins", "https://a/"]).ends(2);
    let ran = ran.says("--http.corsdomain: \"app.example\" is no origin");
    ran.says("--ws.origins: \"https://a/\" is no origin");
    check(&["--http.corsdomain", "https://app.example:8080,*"]).ends(0);
    check(&["--authrpc.prot", "1"]).ends(2).says("'--authrpc.port'");
    Ran::of(fugue(&["config", "check"])).ends(2).says("--datadir: missing");
    check(&["--chain", "hoodi", "--mode", "seq"]).ends(0);
}

#[test]
fn what_the_check_prints_is_a_file_of_the_same_settings() {
    let flags = [
        "--http",
        "--ws",
        "--http.vhosts",
        "*",
        "--builder.extradata",
        "a \"quote\"",
        "--log.level",
        "info,fugue_rpc=debug",
        "--dev.block-time",
        "3",
        "--dev",
        "--threads",
        "2",
        "--metrics",
        "127.0.0.1:9001",
        "--authrpc.addr",
        "::1",
    ];
    let ran = check(&flags).ends(0);
    let again = Files::new(&ran.stdout).check(&[], &[]).ends(0);
    let values = |ran: &Ran| -> BTreeMap<String, Option<String>> {
        shown(ran).into_iter().map(|(key, (value, _))| (key, value)).collect()
    };
    assert_eq!(values(&ran), values(&again));
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let example = std::fs::read_to_string(root().join("etc/fugue.example.toml")).expect("a file");
    let files = Files::new(&example);
    let ran = files.check(&[], &[]).ends(0);
    let known = shown(&ran);
    let defaults = shown(&check(&[]).ends(0));
    let mut table = String::new();
    let mut listed = BTreeSet::new();
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
            continue;
        }
        let (is_set, line) = match line.strip_prefix("# ") {
            Some(line) => (false, line),
            None => (true, line),
        };
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let key = format!("{table}{key}");
        if !defaults.contains_key(&key) {
            assert!(!is_set, "{key} is no setting");
            continue;
        }
        let (default, _) = &defaults[&key];
        if key != "datadir" {
            assert_eq!(is_set, default.is_some(), "{key}: has a default, or has not");
            assert_eq!(&known[&key].0, default, "{key}: another default");
        }
        assert!(listed.insert(key.clone()), "{key} is listed twice");
    }
    let all: BTreeSet<String> = defaults.into_keys().collect();
    assert_eq!(listed, all);
}

#[test]
fn bounds_have_flags_that_the_reference_names_and_faults_that_name_them() {
    let reference = std::fs::read_to_string(root().join("docs/json-rpc.md")).expect("a file");
    let settings = shown(&check(&[]).ends(0));
    // A folder is no bound.
    let is_bound = |key: &&String| key.starts_with("rpc.") && *key != "rpc.trace-files";
    let bounds: Vec<&String> = settings.keys().filter(is_bound).collect();
    assert!(bounds.len() > 20, "{bounds:?}");
    for key in bounds {
        assert!(reference.contains(&format!("`--{key}`")), "--{key} is not in docs/json-rpc.md");
        let ran = check(&[format!("--{key}=0").as_str()]).ends(2);
        ran.says(&format!("invalid value '0' for '--{key} <"));
    }
    let files = Files::new("[rpc]\ngascap = 1000000\n");
    assert_shown(&files.check(&[], &[]).ends(0), "rpc.gascap", "1000000", "fugue.toml:2");
    let variables = [("FUGUE_RPC_MAX_LOG_SIZE", "100")];
    let ran = files.check(&variables, &["--rpc.evmtimeout", "100"]).ends(2);
    let ran = ran.says("--rpc.max-log-size: 100 MiB of logs");
    ran.says("--rpc.idle-timeout: 120 s are over");
}

#[test]
fn completions_and_manual_know_the_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = Ran::of(fugue(&["completions", shell])).ends(0);
        assert!(ran.stdout.contains("authrpc.jwtsecret"), "{shell}: {} bytes", ran.stdout.len());
    }
    let first = Ran::of(fugue(&["man"])).ends(0);
    assert!(first.stdout.contains(".TH fugue 1"), "{first}");
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man1");
    Ran::of(fugue(&["man", "--out", text(&out)])).ends(0);
    let page = |name: &str| std::fs::read_to_string(out.join(name)).expect("a page");
    assert!(page("fugue.1").contains("fugue\\-node(1)"), "{}", page("fugue.1"));
    assert!(page("fugue-import.1").contains("era1"));
    assert!(page("fugue-node.1").contains("a database or disk that fails"));
    for page in [page("fugue-node.1"), page("fugue-config-check.1")] {
        assert!(page.contains("authrpc.jwtsecret"), "{page}");
        assert!(page.contains("FUGUE_AUTHRPC_JWTSECRET"), "{page}");
    }
}

/// Begins a node that tells metrics, and waits until it is ready.
fn start(mut command: Command, flags: &[&str]) -> Running {
    command.args(["--metrics", "127.0.0.1:0"]).args(flags);
    Running::spawn(command)
}

/// Asks a node for a path at the address for metrics: the answer with its head.
fn get(node: &Running, path: &str) -> String {
    let address = node.address("metrics at /metrics, /health and /ready");
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_node_tells_of_itself_and_stops_when_it_is_told_to() {
    let place = Place::new(&MODERN);
    let genesis = place.path("genesis.json");
    let datadir = place.path("data");
    let own = ["--datadir", text(&datadir), "--chain", text(&genesis)];
    let node = start(fugue(&["node"]), &[&own[..], &["--http", "--http.port", "0"]].concat());
    let hash = MODERN.hash(0).to_string();
    assert_eq!(node.said["head"]["number"], 0, "{:?}", node.said);
    assert_eq!(node.said["fugue"]["genesis"], hash, "{:?}", node.said);
    assert!(datadir.join("jwt.hex").is_file(), "the secret was made");
    for server in ["Engine API", "HTTP"] {
        TcpStream::connect(node.address(server))
            .unwrap_or_else(|error| panic!("{server}: {error}"));
    }

    assert!(get(&node, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
    let ready = get(&node, "/ready");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.ends_with("\r\n\r\nno fork choice of a consensus client yet\n"), "{ready}");
    let metrics = get(&node, "/metrics");
    for line in [
        "fugue_head_number 0",
        "fugue_healthy 1",
        "# TYPE fugue_durable_number gauge",
        "# TYPE fugue_forkchoice_age_seconds gauge",
        "# TYPE fugue_persist_milliseconds_total counter",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    assert!(metrics.contains("fugue_info{version="), "{metrics}");

    // Meanwhile nobody else has the folder, or the port.
    let again = ["node", "--datadir", text(&datadir), "--authrpc.port", "0", "--ipcdisable"];
    Ran::in_time("a second node", fugue(&again)).ends(2).says("in use by another process");
    let port = node.address("Engine API").rsplit(':').next().expect("a port").to_owned();
    let other = place.path("other");
    let taken = ["node", "--datadir", text(&other), "--chain", text(&genesis), "--ipcdisable"];
    let taken = fugue(&[&taken[..], &["--authrpc.port", &port]].concat());
    Ran::in_time("a node on a taken port", taken).ends(2).says(&format!("127.0.0.1:{port}"));

    let (code, rest) = node.end("-TERM");
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("all of the chain is durable"), "{rest}");

    // The folder has this chain, and no other.
    let another = place.write("other.json", &DESTRUCTIVE.json);
    let wrong = ["node", "--datadir", text(&datadir), "--chain", text(&another), "--ipcdisable"];
    let wrong = Ran::in_time("a node of another chain", fugue(&wrong)).ends(2);
    wrong.says(&format!("the data is of the chain with genesis {hash}"));
    let (code, rest) = start(fugue(&["node"]), &own).end("-INT");
    assert_eq!(code, Some(0), "{rest}");
}

#[test]
fn a_node_for_development_has_its_own_chain_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = fugue(&["node", "--dev", "--dev.block-time", "1"]);
    command.env("TMPDIR", folder.path());
    let node = start(command, &[]);
    assert_eq!(node.said["fugue"]["chain_id"], 1_337, "{:?}", node.said);
    let account = &node.said["account with funds"];
    // As libraries take it.
    assert!(account["key"].as_str().is_some_and(|key| key.starts_with("0x")), "{account}");
    let warning = "everybody knows the keys of these accounts: they are for this chain alone";
    assert_eq!(node.said[warning]["level"], "WARN", "{:?}", node.said);
    let mut left = folder.path().read_dir().expect("a folder");
    let own = left.next().expect("a folder for the chain").expect("an entry").file_name();
    assert!(own.to_string_lossy().starts_with("fugue-dev-"), "{own:?}");
    assert!(left.next().is_none(), "one folder for the chain");
    // It has no consensus client, and needs none.
    assert!(get(&node, "/ready").starts_with("HTTP/1.1 200 OK\r\n"));
    let node = node.after("block");
    let (code, rest) = node.end("-INT");
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0, "it is left");
}
