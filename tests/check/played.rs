//! Servers that run as processes of their own: this program starts itself for them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, process, thread};

use crate::checker::{case, check};
use crate::command::resound;

/// The command that starts one of the servers below.
fn played(name: &str) -> [String; 5] {
    let this = env::current_exe().unwrap().to_str().unwrap().to_string();
    let name = format!("played::{name}");
    [this, "--ignored".into(), "--exact".into(), name, "--nocapture".into()]
}

#[track_caller]
fn check_played(name: &str, id: &str) -> serde_json::Value {
    let command = played(name);
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    check(&[&["--only", id, "--"], &command[..]].concat()).1
}

fn listener() -> TcpListener {
    let port = env::var("PORT").unwrap().parse().unwrap();
    TcpListener::bind(("127.0.0.1", port)).unwrap()
}

fn echo(stream: &TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut reader, &mut &*stream);
}

#[test]
#[ignore = "a server that another test starts"]
fn server_that_keeps_a_descriptor_in_reserve() {
    let open = || fs::File::open("/dev/null").ok();
    let (listener, mut reserve) = (listener(), open());
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // A copy would take a second descriptor.
                thread::spawn(move || {
                    let (mut stream, mut buffer) = (stream, [0; 4096]);
                    while let Ok(n @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                });
            }
            Err(_) => {
                drop(reserve.take());
                drop(listener.accept());
                reserve = open();
                thread::sleep(Duration::from_millis(if reserve.is_some() { 0 } else { 20 }));
            }
        }
    }
}

#[test]
fn a_server_may_close_what_it_has_no_descriptors_for() {
    let report =
        check_played("server_that_keeps_a_descriptor_in_reserve", "process/out-of-descriptors");
    assert_eq!(case(&report, "process/out-of-descriptors")["verdict"], "pass", "{report:#}");
}

#[test]
#[ignore = "a server that another test starts"]
fn server_that_ends_slowly_with_its_second_client() {
    let listener = listener();
    echo(&listener.accept().unwrap().0);
    drop((listener.accept(), listener));
    eprintln!("\u{9b}31mthe last words\u{7f}");
    thread::sleep(Duration::from_millis(60));
    process::exit(3);
}

#[test]
fn a_death_is_noticed_although_the_connections_are_gone_before() {
    let report = check_played("server_that_ends_slowly_with_its_second_client", "bytes/one");
    let actual = case(&report, "bytes/one")["cause"]["actual"].as_str().unwrap();
    assert!(actual.starts_with("the server died: exit code 3; it wrote: "), "{report:#}");
    let command = played("server_that_ends_slowly_with_its_second_client");
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    for args in [&["check", "--json", "--"][..], &["check", "--"]] {
        let output = resound(&[args, &command[..]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}
