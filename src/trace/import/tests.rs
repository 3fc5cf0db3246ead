use proptest::prelude::*;

use super::*;
use crate::trace::reader::{Ending, Reader};
use crate::trace::record::Outcome;

/// What strace wrote about a small server in Rust, on mio.
const MIO: &str = r#"21662 1795898393.158388 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_IP) = 3<TCP:[59453957]> <0.000022>
21662 1795898393.159347 listen(3<TCP:[127.0.0.1:36893]>, 128) = 0 <0.000013>
21662 1795898393.159719 epoll_create1(EPOLL_CLOEXEC) = 4<anon_inode:[eventpoll]> <0.000010>
21662 1795898393.159768 epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 3<TCP:[127.0.0.1:36893]>, {events=EPOLLIN|EPOLLRDHUP|EPOLLET, data={u32=4294967295, u64=18446744073709551615}}) = 0 <0.000010>
21662 1795898393.159810 epoll_wait(4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=4294967295, u64=18446744073709551615}}], 1024, -1) = 1 <0.019332>
21662 1795898393.179254 accept4(3<TCP:[127.0.0.1:36893]>, {sa_family=AF_INET, sin_port=htons(45832), sin_addr=inet_addr("127.0.0.1")}, [128 => 16], SOCK_CLOEXEC|SOCK_NONBLOCK) = 5<TCP:[127.0.0.1:36893->127.0.0.1:45832]> <0.000023>
21662 1795898393.179645 epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 5<TCP:[127.0.0.1:36893->127.0.0.1:45832]>, {events=EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET, data={u32=0, u64=0}}) = 0 <0.000012>
21662 1795898393.179714 epoll_wait(4<anon_inode:[eventpoll]>, [{events=EPOLLIN|EPOLLOUT|EPOLLRDHUP, data={u32=0, u64=0}}], 1024, 0) = 1 <0.000008>
21662 1795898393.179754 recvfrom(5<TCP:[127.0.0.1:36893->127.0.0.1:45832]>, "exec(\"\", 9) = 9"..., 4096, 0, NULL, NULL) = 40 <0.000008>
21662 1795898393.179800 sendto(5<TCP:[127.0.0.1:36893->127.0.0.1:45832]>, "exec(\"\", 9) = 9"..., 40, MSG_NOSIGNAL, NULL, 0) = 33 <0.000008>
21662 1795898393.179810 recvfrom(5<TCP:[127.0.0.1:36893->127.0.0.1:45832]>, 0x7f00, 4096, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.000008>
21662 1795898393.179820 close(5<TCP:[127.0.0.1:36893->127.0.0.1:45832]>) = 0 <0.000061>
21662 1795898393.179903 accept4(3<TCP:[127.0.0.1:36893]>, 0x7fff20fff340, [128], SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable) <0.000011>
21662 1795898393.179947 epoll_wait(4<anon_inode:[eventpoll]>, "#;

/// Two threads, of which one blocks; calls that are unfinished while the other one acts.
const THREADS: &str = r#"10    1795898399.900000 socket(AF_INET6, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3<TCPv6:[1]> <0.000010>
10    1795898400.000000 listen(3<TCPv6:[[::]:7007]>, 128) = 0 <0.000010>
10    1795898400.000100 accept4(3<TCPv6:[[::]:7007]>,  <unfinished ...>
10    1795898400.500100 <... accept4 resumed>{sa_family=AF_INET6}, [128 => 28], SOCK_CLOEXEC) = 4<TCPv6:[[::1]:7007->[::1]:9]> <0.500000>
10    1795898400.500200 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_THREAD, stack=0x7f, stack_size=0x20} <unfinished ...>
11    1795898400.500300 read(4<TCPv6:[[::1]:7007->[::1]:9]>,  <unfinished ...>
10    1795898400.500400 <... clone3 resumed> => {parent_tid=[11]}, 88) = 11 <0.000200>
10    1795898400.500500 accept4(3<TCPv6:[[::]:7007]>,  <unfinished ...>
11    1795898400.700000 <... read resumed>"hello", 64) = 5 <0.199700>
11    1795898400.700100 write(4<TCPv6:[[::1]:7007->[::1]:9]>, "hello", 5) = 5 <0.000010>
11    1795898400.700200 close(4<TCPv6:[[::1]:7007->[::1]:9]>) = 0 <0.000010>
11    1795898400.700300 +++ exited with 0 +++
10    1795898401.000000 --- SIGINT {si_signo=SIGINT, si_code=SI_KERNEL} ---
10    1795898401.000100 +++ killed by SIGINT +++
"#;

/// A server with poll(2), then one with select(2), as Python writes them.
const POLL: &str = r#"7 1795898400.000000 listen(3<TCP:[127.0.0.1:7007]>, 5) = 0
7 1795898400.000100 poll([{fd=3<TCP:[127.0.0.1:7007]>, events=POLLIN}], 1, 2000) = 1 ([{fd=3<TCP:[127.0.0.1:7007]>, revents=POLLIN}])
7 1795898400.000200 accept(3<TCP:[127.0.0.1:7007]>, NULL, NULL) = 4<TCP:[127.0.0.1:7007->127.0.0.1:9]>
7 1795898400.000300 ioctl(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>, FIONBIO, [1]) = 0
7 1795898400.000400 select(5, [3<TCP:[127.0.0.1:7007]> 4<TCP:[127.0.0.1:7007->127.0.0.1:9]>], [], NULL, NULL) = 1 (in [4<TCP:[127.0.0.1:7007->127.0.0.1:9]>])
7 1795898400.000500 recvmsg(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>, {msg_name=NULL, msg_iov=[{iov_base="iov_len=7", iov_len=100}, {iov_base="", iov_len=28}], msg_iovlen=2}, 0) = 9
7 1795898400.000600 writev(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>, [{iov_base="iov_len=7", iov_len=9}], 1) = -1 ECONNRESET (Connection reset by peer)
7 1795898400.000700 exit_group(1) = ?
7 1795898400.000800 +++ exited with 1 +++
"#;

fn imported(strace: &str) -> (Header, Vec<Record>) {
    let mut trace = Vec::new();
    import_bytes(strace.as_bytes(), &mut |line| {
        trace.extend_from_slice(line);
        Ok(())
    })
    .unwrap();
    let mut reader = Reader::new(&*trace).unwrap();
    let records = reader.by_ref().map(Result::unwrap).collect();
    assert!(matches!(reader.ending(), Ending::Complete { .. }));
    (reader.header, records)
}

/// The names of the records, each with its group and its result.
fn told(records: &[Record]) -> Vec<String> {
    let told = |record: &Record| {
        let result = match record.outcome() {
            Some(Outcome::Bytes(n)) => format!(" {n}"),
            Some(outcome) => format!(" {outcome:?}"),
            None => String::new(),
        };
        let group = record.group_id.as_deref().unwrap_or("-");
        let name = record.name.rsplit(':').next().unwrap();
        format!("{} {group}{result}", name)
    };
    records.iter().map(told).collect()
}

fn refused(strace: &[u8]) -> String {
    import_bytes(strace, &mut |_| Ok(())).unwrap_err().to_string()
}

#[test]
fn a_server_on_epoll() {
    let (header, records) = imported(MIO);
    assert_eq!(header.vantage, Vantage::SystemCalls);
    assert_eq!(header.began.as_deref(), Some("2026-11-28T20:39:53.15936Z"));
    assert_eq!(
        told(&records),
        [
            "listening listener:127.0.0.1:36893",
            "registered listener:127.0.0.1:36893",
            "waits -",
            "woke -",
            "ready listener:127.0.0.1:36893",
            "accept listener:127.0.0.1:36893 Connection",
            "accepted #1",
            "registered #1",
            "waits -",
            "woke -",
            "ready #1",
            "read #1 40",
            "write #1 33",
            "read #1 WouldBlock",
            "closed #1",
            "accept listener:127.0.0.1:36893 WouldBlock",
            "waits -",
            "end -",
        ]
    );
    assert_eq!(records[2].data["timeout"], serde_json::Value::Null);
    assert_eq!(records[3].number("waited"), Some(19332));
    assert_eq!(records[6].text("peer"), Some("127.0.0.1:45832"));
    assert_eq!(records[7].text("mode"), Some("edge"));
    assert!(records[10].flag("read_closed") && !records[10].flag("error"));
    assert_eq!(records[11].number("asked"), Some(4096));
    assert_eq!(records[12].call.as_deref(), Some("sendto(5, 40, MSG_NOSIGNAL, 0)"));
    assert_eq!((records[14].number("read"), records[14].number("wrote")), (Some(40), Some(33)));
    assert_eq!(records[16].data.get("timeout"), None, "its call breaks off before it says so");
    assert!(records.iter().all(|record| record.thread.is_none()));
}

#[test]
fn calls_of_threads_are_joined() {
    let (_, records) = imported(THREADS);
    assert_eq!(
        told(&records),
        [
            "listening listener:[::]:7007",
            "accept listener:[::]:7007 Connection",
            "accepted #1",
            "read #1 5",
            "write #1 5",
            "closed #1",
            "accept listener:[::]:7007 Failed(\"it has not returned\")",
            "end -",
        ]
    );
    assert_eq!(records[3].thread, Some(11));
    assert!(records[3].flag("is_blocking"));
    assert_eq!(records[3].number("took"), Some(199_700));
    assert_eq!(records[3].time, 700_000.0 - 10.0);
}

#[test]
fn servers_on_poll_and_select() {
    let (_, records) = imported(POLL);
    assert_eq!(
        told(&records),
        [
            "listening listener:127.0.0.1:7007",
            "waits -",
            "registered listener:127.0.0.1:7007",
            "woke -",
            "ready listener:127.0.0.1:7007",
            "accept listener:127.0.0.1:7007 Connection",
            "accepted #1",
            "waits -",
            "registered #1",
            "woke -",
            "ready #1",
            "read #1 9",
            "write #1 Failed(\"Connection reset by peer (ECONNRESET)\")",
            "closed #1",
            "failed -",
            "end -",
        ]
    );
    assert_eq!(records[1].number("timeout"), Some(2_000_000));
    assert_eq!(records[11].number("asked"), Some(128));
    assert!(!records[11].flag("is_blocking"), "ioctl has made it non-blocking");
}

/// An event belongs to what was registered last under its data: also after the data changed, and after the source was
/// deregistered or closed.
#[test]
fn events_belong_to_the_last_registration() {
    let wait = r#"7 1795898400.000300 epoll_wait(4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=1, u64=1}}, {events=EPOLLOUT, data={u32=2, u64=2}}], 8, 0) = 2 <0.000001>"#;
    let control = |op: &str, data: u64| {
        format!(
            "7 1795898400.000200 epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_{op}, 5<TCP:[127.0.0.1:7->127.0.0.1:9]>, \
             {{events=EPOLLIN|EPOLLONESHOT, data={{u32={data}, u64={data}}}}}) = 0 <0.000001>"
        )
    };
    let close =
        "7 1795898400.000200 close(5<TCP:[127.0.0.1:7->127.0.0.1:9]>) = 0 <0.000001>".to_string();
    for (calls, expected) in [
        (vec![control("ADD", 1)], Some("readable")),
        (vec![control("ADD", 1), control("MOD", 2)], Some("writable")),
        (vec![control("ADD", 1), control("MOD", 2), control("DEL", 0)], None),
        (vec![control("ADD", 1), close], None),
    ] {
        let (_, records) = imported(&[calls.join("\n"), wait.into()].join("\n"));
        let ready: Vec<_> = records.iter().filter(|record| record.name == name::READY).collect();
        assert_eq!(ready.len(), usize::from(expected.is_some()), "{calls:?}");
        assert!(expected.is_none_or(|flag| ready[0].flag(flag)), "{calls:?}");
        let registered = records.iter().find(|record| record.name == name::REGISTERED);
        assert!(registered.is_some_and(|record| record.flag("is_once")));
    }
}

/// A process that forks has its own copies: the connection lives on when the parent closes its copy.
#[test]
fn a_connection_is_closed_with_its_last_copy() {
    let strace = r#"7 1795898400.000000 listen(3<TCP:[127.0.0.1:7007]>, 5) = 0
7 1795898400.000200 accept(3<TCP:[127.0.0.1:7007]>, NULL, NULL) = 4<TCP:[127.0.0.1:7007->127.0.0.1:9]>
7 1795898400.000300 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 8
7 1795898400.000400 close(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>) = 0
8 1795898400.000500 dup2(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>, 0</dev/null>) = 0<TCP:[127.0.0.1:7007->127.0.0.1:9]>
8 1795898400.000600 close(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>) = 0
8 1795898400.000700 read(0<TCP:[127.0.0.1:7007->127.0.0.1:9]>, "", 64) = 0
8 1795898400.000800 +++ exited with 0 +++
"#;
    let (_, records) = imported(strace);
    let closed = records.iter().find(|record| record.name == name::CLOSED).unwrap();
    assert_eq!(closed.time, 800.0);
    assert_eq!(closed.text("why"), Some("the process ended"));
    assert!(told(&records).contains(&"read #1 End".into()));
}

/// strace -p: what was there before is known by its descriptions.
#[test]
fn sockets_that_were_open_before_are_recognised() {
    let strace = r#"7 1795898400.000000 read(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>, "x", 64) = 1 <0.000001>
7 1795898400.000200 accept(3<UNIX-STREAM:[55,"/run/echo"]>, NULL, NULL) = 5<UNIX-STREAM:[56->57,"/run/echo"]> <0.000001>
7 1795898400.000300 close(4<TCP:[127.0.0.1:7007->127.0.0.1:9]>) = 0 <0.000001>
"#;
    let (_, records) = imported(strace);
    assert_eq!(
        told(&records)[..5],
        [
            "read #1 1",
            "listening listener:unix:/run/echo",
            "accept listener:unix:/run/echo Connection",
            "accepted #2",
            "closed #1",
        ]
    );
    assert_eq!(records[3].text("peer"), Some("unix:57"));
}

#[test]
fn what_is_no_strace_or_lacks_an_option_is_refused() {
    let without = |strace: &str| {
        strace
            .replace("<TCP:[127.0.0.1:7007]>", "")
            .replace("<TCP:[127.0.0.1:7007->127.0.0.1:9]>", "")
    };
    for (strace, expected) in [
        (String::new(), "it is no output of strace"),
        ("\u{7f}ELF\n\0\0".into(), "it is no output of strace"),
        ("{\"schema\":\"resound-trace\"}\n".into(), "it is no output of strace"),
        (without(POLL), "-yy"),
        (POLL.replace("7 1795898400.", "7 20:41:30."), "-ttt"),
        (POLL.replace("7 1795898400.000", "7 "), "-ttt"),
        ("7 1795898400.000000 getpid() = 7\n".into(), "-f follows"),
        ("7 1795898400.000000 io_uring_enter(3, 1, 0, 0, NULL, 8) = 1\n".into(), "io_uring"),
    ] {
        let said = refused(strace.as_bytes());
        assert!(said.contains(expected), "{strace}: {said}");
    }
}

#[test]
fn a_remark_says_what_is_missing() {
    let remarks = import_bytes(POLL.as_bytes(), &mut |_| Ok(())).unwrap().remarks;
    assert!(remarks.len() == 1 && remarks[0].contains("-T"), "{remarks:?}");
    assert!(import_bytes(THREADS.as_bytes(), &mut |_| Ok(())).unwrap().remarks.is_empty());
}

/// Wherever a file breaks off, what came before is imported, and times do not go back.
#[test]
fn a_file_can_break_off_anywhere() {
    for strace in [MIO, THREADS, POLL] {
        for end in (0..strace.len()).step_by(11) {
            let mut trace = Vec::new();
            let done = import_bytes(&strace.as_bytes()[..end], &mut |line| {
                trace.extend_from_slice(line);
                Ok(())
            });
            if done.is_ok() {
                let mut time = 0.0;
                for record in Reader::new(&*trace).unwrap().map(Result::unwrap) {
                    assert!(record.time >= time);
                    time = record.time;
                }
            }
        }
    }
}

#[test]
fn lines_without_end_are_skipped() {
    let long = format!("7 1795898400.000000 read(4, \"{}\n{POLL}", "x".repeat(3 << 20));
    assert_eq!(imported(&long).1.len(), imported(POLL).1.len());
}

/// Any lines of calls that the importer knows, in any order, with any descriptors.
fn any_line() -> impl Strategy<Value = String> {
    let samples: Vec<String> =
        [MIO, THREADS, POLL].iter().flat_map(|text| text.lines()).map(Into::into).collect();
    (prop::sample::select(samples), 0..4_usize, "[0-9]", "\\PC{0,9}").prop_map(
        |(line, change, digit, noise)| match change {
            0 => line,
            1 => line.replace(['3', '4', '5'], &digit),
            2 => {
                line.chars().rev().skip(noise.len() * 3).collect::<String>().chars().rev().collect()
            }
            _ => line.replacen(['<', '[', '"', '('], &noise, 2),
        },
    )
}

proptest! {
    #[test]
    fn any_lines_make_a_trace_that_can_be_read(lines in prop::collection::vec(any_line(), 0..60)) {
        let mut trace = Vec::new();
        let done = import_bytes(lines.join("\n").as_bytes(), &mut |line| {
            trace.extend_from_slice(line);
            Ok(())
        });
        if done.is_ok() {
            let reader = Reader::new(&*trace).unwrap();
            prop_assert!(crate::trace::lint::lint(reader).unwrap().breaks_off.is_none());
        }
    }
}
