//! The files of `deploy/` for Kubernetes, as it understands them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::resound;
use crate::programs::{made, python, run};

/// One of the versions that kubernetes-validate has schemas for.
const KUBERNETES: &str = "1.34";

const FOLDER: &str = "deploy/kubernetes";

fn manifests() -> Vec<PathBuf> {
    let files = fs::read_dir(made(FOLDER)).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|e| e == "yaml")).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    files
}

fn read(name: &str) -> Value {
    const AS_JSON: &str =
        "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let file = made(FOLDER).join(name);
    serde_json::from_str(&run(python().args(["-c", AS_JSON]).arg(file))).unwrap()
}

#[test]
fn the_manifests_keep_to_the_schemas_of_kubernetes() {
    let validate = ["-m", "kubernetes_validate", "--strict", "-k", KUBERNETES];
    run(python().args(validate).args(manifests()));
    // A field with a typo is refused.
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.yaml");
    let text = fs::read_to_string(made(FOLDER).join("service.yaml")).unwrap();
    fs::write(&wrong, text.replace("targetPort", "targetport")).unwrap();
    let refused = python().args(validate).arg(wrong).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn the_deployment_fits_the_program_and_its_service() {
    let deployment = read("deployment.yaml");
    let pod = &deployment["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let words = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().into()).collect()
    };
    let args = words(&container["args"]);
    expect_understood(&args);
    expect_understood(&words(&container["startupProbe"]["exec"]["command"])[1..]);
    let seconds = |option: &str| -> u64 {
        let value = args.iter().find_map(|arg| arg.strip_prefix(option)).unwrap();
        value.trim_end_matches('s').parse().unwrap()
    };
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > seconds("--drain-delay=") + seconds("--drain-timeout="), "{args:?}");
    for name in ["service.yaml", "poddisruptionbudget.yaml"] {
        let selector = &read(name)["spec"]["selector"];
        let labels = selector.get("matchLabels").unwrap_or(selector);
        assert_eq!(*labels, pod["metadata"]["labels"], "{name}");
    }
    let ports = container["ports"].as_array().unwrap();
    for port in read("service.yaml")["spec"]["ports"].as_array().unwrap() {
        let is_target = |of_pod: &&Value| of_pod["name"] == port["targetPort"];
        let of_pod = ports.iter().find(is_target).unwrap();
        assert_eq!(
            (&of_pod["protocol"], &of_pod["containerPort"]),
            (&port["protocol"], &port["port"])
        );
    }
    let scaled = &read("horizontalpodautoscaler.yaml")["spec"]["scaleTargetRef"];
    assert_eq!(
        (&scaled["kind"], &scaled["name"]),
        (&deployment["kind"], &deployment["metadata"]["name"])
    );
}

/// The program knows these options, and takes their values: it looks at them before it prints the help.
#[track_caller]
fn expect_understood(args: &[String]) {
    let output = resound(&[args, &["--help".to_string()]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
}
