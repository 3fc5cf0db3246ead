//! The reactor with fake sources, and with real ones.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use mio::Registry;
use socket2::SockRef;

use super::*;

/// Longer than any step of these tests takes.
const LONG: Duration = Duration::from_secs(10);

/// A call that a source got.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Register(Token, Interest),
    Reregister,
    Deregister,
}

/// A source that no poll watches: only `requeue` and `inject` make it ready. It records its calls.
#[derive(Clone, Debug, Default)]
struct Fake {
    asked: Rc<RefCell<Vec<Asked>>>,
    refuses: bool,
}

impl Source for Fake {
    fn register(&mut self, _: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.asked.borrow_mut().push(Asked::Register(token, interest));
        if self.refuses { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        self.asked.borrow_mut().push(Asked::Reregister);
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.asked.borrow_mut().push(Asked::Deregister);
        if self.refuses { Err(ErrorKind::NotFound.into()) } else { Ok(()) }
    }
}

fn reactor<T: Source>() -> Reactor<T> {
    Reactor::new().unwrap()
}

fn plain(token: Token) -> Ready {
    Ready { token, exceptional: false }
}

fn exceptional(token: Token) -> Ready {
    Ready { token, exceptional: true }
}

/// What is ready at once.
fn ready_now<T: Source>(reactor: &mut Reactor<T>) -> Vec<Ready> {
    ready_within(reactor, Some(Duration::ZERO))
}

/// What is ready first, after a wait if need be.
fn ready_soon<T: Source>(reactor: &mut Reactor<T>) -> Vec<Ready> {
    ready_within(reactor, Some(LONG))
}

fn ready_within<T: Source>(reactor: &mut Reactor<T>, timeout: Option<Duration>) -> Vec<Ready> {
    // What the list holds from before must not matter.
    let mut ready = vec![exceptional(Token(usize::MAX))];
    reactor.wait(timeout, &mut ready).unwrap();
    ready
}

/// A connected pair over TCP: the first is the reactor's, the second the peer's.
fn tcp_pair() -> (mio::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (mio::net::TcpStream::from_std(ours), peer)
}

/// A reactor with one TCP connection, after its first event, which reports that it is writable.
fn watched_tcp() -> (Reactor<mio::net::TcpStream>, Token, TcpStream) {
    let (ours, peer) = tcp_pair();
    let mut reactor = reactor();
    let token = reactor.insert(ours).unwrap();
    assert_eq!(ready_soon(&mut reactor), [plain(token)]);
    assert_eq!(ready_now(&mut reactor), []);
    (reactor, token, peer)
}

/// As [`watched_tcp`], over a Unix socket. The third value is a duplicate of the reactor's end.
fn watched_unix() -> (Reactor<mio::net::UnixStream>, Token, UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let held = ours.try_clone().unwrap();
    let mut reactor = reactor();
    let token = reactor.insert(mio::net::UnixStream::from_std(ours)).unwrap();
    assert_eq!(ready_now(&mut reactor), [plain(token)]);
    assert_eq!(ready_now(&mut reactor), []);
    (reactor, token, held, peer)
}

/// Failed when the new source was registered, or got a place of its own.
#[test]
fn a_source_that_is_replaced_keeps_its_token_its_registration_and_its_place_in_the_queue() {
    let mut reactor = reactor();
    let sources: [Fake; 3] = std::array::from_fn(|_| Fake::default());
    let tokens = sources.clone().map(|source| reactor.insert(source).unwrap());
    let _ = reactor.remove(tokens[0]);
    reactor.requeue(tokens[1]);
    reactor.replace_with(tokens[1], |source| Fake { refuses: true, ..source });
    assert!(reactor.get_mut(tokens[1]).unwrap().refuses);
    assert_eq!(sources[1].asked.borrow().len(), 1, "it was registered once");
    let mut ready = Vec::new();
    reactor.wait(Some(LONG), &mut ready).unwrap();
    assert_eq!(ready, [plain(tokens[1])]);
    reactor.replace_with(tokens[0], |_| unreachable!("it was removed"));
    assert_eq!(reactor.insert(Fake::default()).unwrap(), tokens[0]);
}

#[test]
fn a_source_is_registered_once_for_everything() {
    let (fake, mut reactor) = (Fake::default(), reactor());
    let token = reactor.insert(fake.clone()).unwrap();
    for _ in 0..3 {
        reactor.requeue(token);
        ready_now(&mut reactor);
        reactor.get_mut(token).unwrap();
    }
    assert_eq!(*fake.asked.borrow(), [Asked::Register(token, INTEREST)]);
    assert!(INTEREST.is_readable() && INTEREST.is_writable());
    #[cfg(target_os = "linux")]
    assert!(INTEREST.is_priority());
}

#[test]
fn remove_deregisters_and_hands_back() {
    let (fake, mut reactor) = (Fake::default(), reactor());
    let token = reactor.insert(fake.clone()).unwrap();
    let back = reactor.remove(token).unwrap();
    assert!(Rc::ptr_eq(&back.asked, &fake.asked));
    assert_eq!(*fake.asked.borrow(), [Asked::Register(token, INTEREST), Asked::Deregister]);
    assert!(reactor.remove(token).is_none() && reactor.get_mut(token).is_none());
    assert_eq!(fake.asked.borrow().len(), 2, "nothing is deregistered twice");

    let token = reactor.insert(back).unwrap();
    assert_eq!(fake.asked.borrow()[2..], [Asked::Register(token, INTEREST)], "it can come again");
}

#[test]
fn a_source_that_cannot_be_registered_takes_no_slot() {
    let mut reactor = reactor();
    let refuses = Fake { refuses: true, ..Fake::default() };
    let held = Rc::downgrade(&refuses.asked);
    assert_eq!(reactor.insert(refuses).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(held.upgrade().is_none(), "the source is dropped");
    assert!(reactor.sources.is_empty() && reactor.get_mut(Token(0)).is_none());
    assert_eq!(reactor.insert(Fake::default()).unwrap(), Token(0));
}

#[test]
fn a_source_whose_registration_is_gone_is_handed_back_all_the_same() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    reactor.get_mut(token).unwrap().refuses = true;
    assert!(reactor.remove(token).is_some());
}

#[test]
fn tokens_are_counted_and_bounded() {
    let mut reactor = reactor();
    assert!(reactor.sources.is_empty() && reactor.token_bound() == 0);
    let tokens: Vec<_> = (0..5).map(|_| reactor.insert(Fake::default()).unwrap()).collect();
    assert_eq!(reactor.sources.len(), 5);
    assert!(!reactor.sources.is_empty());
    assert!(tokens.iter().all(|t| t.0 < reactor.token_bound()));
    reactor.remove(tokens[4]);
    assert_eq!(reactor.sources.len(), 4);
}

#[test]
fn a_requeued_source_is_reported_once_and_without_a_wait() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    for timeout in [Some(LONG), Some(LONG), None] {
        reactor.requeue(token);
        reactor.requeue(token);
        assert_eq!(reactor.queue.len(), 1, "the queue cannot outgrow the slab");
        let before = Instant::now();
        assert_eq!(ready_within(&mut reactor, timeout), [plain(token)]);
        assert!(before.elapsed() < LONG, "it waited");
        assert_eq!(ready_now(&mut reactor), []);
    }
}

#[test]
fn requeued_sources_are_reported_in_order() {
    let mut reactor = reactor();
    let tokens = [(); 3].map(|()| reactor.insert(Fake::default()).unwrap());
    for i in [2, 0, 1] {
        reactor.requeue(tokens[i]);
    }
    assert_eq!(ready_now(&mut reactor), [2, 0, 1].map(|i| plain(tokens[i])));
}

#[test]
fn a_requeued_source_with_an_event_is_reported_once() {
    // Over a Unix socket, the event is there as soon as the peer's call returns.
    let (mut reactor, token, _held, peer) = watched_unix();
    peer.shutdown(Shutdown::Write).unwrap();
    reactor.requeue(token);
    assert_eq!(ready_now(&mut reactor), [exceptional(token)], "with the flag of the event");
    assert_eq!(ready_now(&mut reactor), []);
}

#[test]
fn an_event_for_one_source_does_not_hide_another_that_is_queued() {
    let mut reactor: Reactor<Box<dyn Source>> = reactor();
    let fake = reactor.insert(Box::new(Fake::default())).unwrap();
    let (ours, _peer) = tcp_pair();
    let real = reactor.insert(Box::new(ours)).unwrap();
    reactor.requeue(fake);
    assert_eq!(ready_now(&mut reactor), [plain(real), plain(fake)]);
}

#[test]
fn an_injected_flag_is_kept() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    for reports in [[exceptional(token), plain(token)], [plain(token), exceptional(token)]] {
        reports.iter().for_each(|ready| reactor.inject(*ready));
        assert_eq!(ready_soon(&mut reactor), [exceptional(token)]);
        assert_eq!(ready_now(&mut reactor), []);
    }
    reactor.requeue(token);
    assert_eq!(ready_soon(&mut reactor), [plain(token)]);
}

#[test]
fn an_injected_event_and_a_real_one_are_reported_as_one() {
    let (mut reactor, token, peer) = watched_tcp();
    (&peer).write_all(b"plain").unwrap();
    reactor.inject(exceptional(token));
    // The real event may come a moment later, but neither is reported twice.
    let mut ready = ready_soon(&mut reactor);
    assert_eq!(ready[0], exceptional(token));
    if ready.len() == 1 {
        ready = ready_now(&mut reactor);
        assert!(ready.is_empty() || ready == [plain(token)], "{ready:?}");
    }
}

#[test]
fn to_requeue_a_removed_source_changes_nothing() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    reactor.remove(token);
    reactor.requeue(token);
    reactor.requeue(Token(7));
    assert_eq!(ready_now(&mut reactor), []);
    assert_eq!(reactor.insert(Fake::default()).unwrap(), token);
    assert_eq!(ready_now(&mut reactor), [], "nor for the next source with this token");
}

#[test]
fn a_removed_source_is_not_reported() {
    let mut reactor = reactor();
    let [first, second] = [(); 2].map(|()| reactor.insert(Fake::default()).unwrap());
    reactor.requeue(first);
    reactor.requeue(second);
    reactor.remove(first);
    assert_eq!(ready_now(&mut reactor), [plain(second)]);
}

#[test]
fn a_reused_slot_inherits_no_place_in_the_queue() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    reactor.requeue(token);
    reactor.remove(token);
    assert_eq!(reactor.insert(Fake::default()).unwrap(), token);
    assert_eq!(ready_now(&mut reactor), []);
}

#[test]
fn a_reused_slot_can_be_queued() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    reactor.requeue(token);
    reactor.remove(token);
    assert_eq!(reactor.insert(Fake::default()).unwrap(), token);
    reactor.requeue(token);
    assert_eq!(ready_now(&mut reactor), [plain(token)], "once, though the queue has it twice");
    assert_eq!(ready_now(&mut reactor), []);
}

#[test]
fn a_removed_source_that_is_held_elsewhere_makes_no_events() {
    let (mut reactor, token, mut held, mut peer) = watched_unix();
    drop(reactor.remove(token));
    peer.write_all(b"x").unwrap();
    held.write_all(b"x").unwrap();
    drop(peer);
    assert_eq!(ready_now(&mut reactor), []);
}

#[test]
fn bytes_alone_are_not_exceptional() {
    let (mut reactor, token, mut peer) = watched_tcp();
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        assert_eq!(ready_soon(&mut reactor), [plain(token)]);
    }
}

#[test]
fn end_of_file_is_exceptional() {
    let (mut reactor, token, peer) = watched_tcp();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ready_soon(&mut reactor), [exceptional(token)]);
}

#[test]
fn a_reset_is_exceptional() {
    let (mut reactor, token, peer) = watched_tcp();
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(ready_soon(&mut reactor), [exceptional(token)]);
}

#[test]
fn an_error_is_exceptional() {
    let (ours, reader) = mio::unix::pipe::new().unwrap();
    let mut reactor = reactor();
    let token = reactor.insert(ours).unwrap();
    assert_eq!(ready_now(&mut reactor), [plain(token)]);
    drop(reader);
    assert_eq!(ready_now(&mut reactor), [exceptional(token)], "an error without an end of file");
}

#[cfg(target_os = "linux")]
#[test]
fn urgent_data_is_exceptional() {
    let (mut reactor, token, peer) = watched_tcp();
    SockRef::from(&peer).send_out_of_band(b"!").unwrap();
    assert_eq!(ready_soon(&mut reactor), [exceptional(token)]);
}

/// No socket is known to make such an event, but a file of sysfs does until it is read: kernfs_generic_poll() in
/// fs/kernfs/file.c.
#[cfg(target_os = "linux")]
#[test]
fn an_error_with_urgent_data_is_exceptional() {
    let file = std::fs::File::open("/sys/devices/system/cpu/online").unwrap();
    let fd = file.as_raw_fd();
    let mut reactor = reactor();
    let token = reactor.insert(mio::unix::SourceFd(&fd)).unwrap();
    assert_eq!(ready_now(&mut reactor), [exceptional(token)]);
    let event = reactor.events.iter().next().unwrap();
    assert!(event.is_error() && event.is_priority() && !event.is_read_closed(), "{event:?}");
}

#[test]
fn a_wait_with_a_timeout_of_zero_returns_at_once() {
    let mut reactor = reactor::<Fake>();
    let before = Instant::now();
    assert_eq!(ready_now(&mut reactor), []);
    assert!(before.elapsed() < LONG);
}

#[test]
fn a_wait_lasts_until_its_timeout() {
    let mut reactor = reactor::<Fake>();
    let (before, timeout) = (Instant::now(), Duration::from_millis(20));
    assert_eq!(ready_within(&mut reactor, Some(timeout)), []);
    assert!(before.elapsed() >= timeout);
}

#[test]
fn a_wait_without_timeout_lasts_until_there_is_an_event() {
    let (mut reactor, token, mut peer) = watched_tcp();
    let waiting = thread_state();
    let writer = thread::spawn(move || {
        let until = Instant::now() + LONG;
        while !waiting().starts_with('S') && Instant::now() < until {
            thread::yield_now();
        }
        peer.write_all(b"x").unwrap();
        peer
    });
    assert_eq!(ready_within(&mut reactor, None), [plain(token)]);
    writer.join().unwrap();
}

/// The only way to make epoll_wait(2) fail here: it needs room for at least one event.
#[cfg(target_os = "linux")]
#[test]
fn the_error_of_a_broken_poll_is_returned() {
    let mut reactor = reactor::<Fake>();
    reactor.events = Events::with_capacity(0);
    let error = reactor.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Returns a function that reads the state of the calling thread: `S` if it sleeps in a system call,
/// proc_pid_stat(5).
fn thread_state() -> impl Fn() -> String + Send {
    let stat = std::path::Path::new("/proc")
        .join(std::fs::read_link("/proc/thread-self").unwrap())
        .join("stat");
    move || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit(") ").next().unwrap().to_owned()
    }
}

const INTERRUPTED: &str = "reactor::tests::a_wait_that_a_signal_interrupts_ends_early";

/// A stop and a continuation interrupt epoll_wait(2) even if no signal is handled: signal(7). So this test runs
/// itself again, in a process that it can stop.
#[cfg(target_os = "linux")]
#[test]
fn a_wait_that_a_signal_interrupts_ends_early() {
    if std::env::var_os(INTERRUPTED).is_some() {
        let mut reactor = reactor();
        let token = reactor.insert(Fake::default()).unwrap();
        let before = Instant::now();
        assert_eq!(ready_soon(&mut reactor), []);
        assert!(before.elapsed() < LONG, "it was not interrupted, or it waited on");
        reactor.requeue(token);
        assert_eq!(ready_soon(&mut reactor), [plain(token)]);
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", INTERRUPTED])
        .env(INTERRUPTED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = interrupt_until_it_ends(child);
    assert!(said.contains("1 passed"), "{said}");
}

#[cfg(target_os = "linux")]
fn interrupt_until_it_ends(mut child: Child) -> String {
    use rustix::process::{Pid, Signal, kill_process};
    let until = Instant::now() + LONG;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        for signal in [Signal::STOP, Signal::CONT] {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        // Lets the process run between two stops. No check depends on the time.
        thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Failed when what did not fit into the list was forgotten: no event comes for it.
#[test]
fn what_the_list_has_no_room_for_stays_queued() {
    let mut reactor = reactor();
    let tokens: Vec<_> = (0..5).map(|_| reactor.insert(Fake::default()).unwrap()).collect();
    tokens.iter().for_each(|token| reactor.requeue(*token));
    let mut ready = Vec::new();
    for reported in [2, 4, 5] {
        assert!(reactor.has_more());
        reactor.report_queued(2, &mut ready);
        assert_eq!(ready.len(), reported);
    }
    assert!(!reactor.has_more());
    let all: Vec<_> = tokens.iter().copied().map(plain).collect();
    assert_eq!(ready, all);
}

/// A slot that is left and taken again while it is queued does not make the queue grow.
#[test]
fn a_slot_is_queued_once_even_if_its_source_changes() {
    let mut reactor = reactor();
    let mut token = reactor.insert(Fake::default()).unwrap();
    let room = reactor.queue.capacity();
    for _ in 0..100 {
        reactor.requeue(token);
        reactor.remove(token);
        token = reactor.insert(Fake::default()).unwrap();
    }
    assert_eq!((reactor.queue.len(), reactor.queue.capacity()), (1, room));
    reactor.remove(token);
    assert_eq!(ready_now(&mut reactor), [], "a source that was removed is not reported");
}

#[test]
fn the_queue_has_room_for_every_slot() {
    let mut reactor = reactor();
    let tokens: Vec<_> = (0..100).map(|_| reactor.insert(Fake::default()).unwrap()).collect();
    let room = reactor.queue.capacity();
    assert!(room >= reactor.token_bound());
    tokens.iter().for_each(|token| reactor.requeue(*token));
    assert_eq!(reactor.queue.capacity(), room);
}

/// Failed when an event for a queued source made room for a second entry, and the list had no room for the first: then
/// the queue outgrew its room, just when memory was out.
#[test]
fn an_event_for_a_queued_source_leaves_no_place_for_a_second_entry() {
    let mut reactor = reactor();
    let token = reactor.insert(Fake::default()).unwrap();
    reactor.requeue(token);
    let mut ready = vec![plain(token)];
    reactor.report_queued(0, &mut ready);
    reactor.requeue(token);
    assert_eq!(reactor.queue, [token]);
    ready.clear();
    reactor.report_queued(1, &mut ready);
    assert_eq!((ready, reactor.has_more()), (vec![plain(token)], false));
}
