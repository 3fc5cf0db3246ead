//! What the descriptors of the traced processes stand for.
//!
//! Threads share a table of descriptors, and a process that forks gets a copy of it. So a connection is closed when its
//! last copy is.

use std::collections::{HashMap, HashSet};

/// The most descriptors, in all tables together. Further ones are not followed.
const MOST_DESCRIPTORS: usize = 1 << 20;

/// What a descriptor stands for. Copies of it stand for the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectId(u64);

#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// What records call it, if they do.
    pub(super) group: Option<String>,
    /// Whether calls on it do not block. `None` if the trace does not say.
    pub(super) is_nonblocking: Option<bool>,
    /// The polls that it is registered with, and the data under which each reports it.
    pub(super) polls: Vec<(ObjectId, u64)>,
    /// The events that poll(2) or select(2) was last asked for.
    pub(super) interest: Option<String>,
    copies: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Listener,
    Connection(Totals),
    /// The sources that are registered with a poll, by the data of their events.
    Poll(HashMap<u64, ObjectId>),
    Other,
}

/// The bytes of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) read: u64,
    pub(super) wrote: u64,
    /// Whether a call on it has failed.
    pub(super) is_cut: bool,
}

/// The tables of all processes.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    objects: HashMap<ObjectId, Object>,
    tables: HashMap<u64, Table>,
    /// The table of each thread. Table 0 is that of the first process.
    table_of: HashMap<u64, u64>,
    /// Threads whose first line came before the call that started them returned.
    early: HashSet<u64>,
    /// The last object or table that was made.
    last: u64,
    /// Descriptors in all tables.
    total: usize,
}

#[derive(Debug, Default)]
struct Table {
    objects: HashMap<i32, ObjectId>,
    threads: usize,
}

impl Descriptors {
    /// What a descriptor of a thread stands for.
    pub(super) fn find(&self, thread: u64, fd: i32) -> Option<ObjectId> {
        self.tables.get(&self.table(thread))?.objects.get(&fd).copied()
    }

    pub(super) fn object(&mut self, id: ObjectId) -> Option<&mut Object> {
        self.objects.get_mut(&id)
    }

    /// Adds a descriptor that stands for something new. Returns what stood there, if that is gone by that.
    pub(super) fn insert(
        &mut self,
        thread: u64,
        fd: i32,
        kind: Kind,
    ) -> (Option<ObjectId>, Option<(ObjectId, Object)>) {
        if self.total >= MOST_DESCRIPTORS {
            return (None, None);
        }
        let closed = self.close(thread, fd);
        self.last += 1;
        let id = ObjectId(self.last);
        let object = Object {
            kind,
            group: None,
            is_nonblocking: None,
            polls: Vec::new(),
            interest: None,
            copies: 0,
        };
        self.objects.insert(id, object);
        self.place(self.table(thread), fd, id);
        (Some(id), closed)
    }

    /// Makes `to` stand for what `fd` stands for. Returns what is gone by that.
    pub(super) fn duplicate(
        &mut self,
        thread: u64,
        fd: i32,
        to: i32,
    ) -> Option<(ObjectId, Object)> {
        let id = self.find(thread, fd).filter(|_| fd != to && self.total < MOST_DESCRIPTORS)?;
        let closed = self.close(thread, to);
        self.place(self.table(thread), to, id);
        closed
    }

    fn place(&mut self, table: u64, fd: i32, id: ObjectId) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.copies += 1;
            self.total += 1;
            self.tables.entry(table).or_default().objects.insert(fd, id);
        }
    }

    /// Closes a descriptor. Returns what it stood for, if this was the last copy.
    pub(super) fn close(&mut self, thread: u64, fd: i32) -> Option<(ObjectId, Object)> {
        let id = self.tables.get_mut(&self.table(thread))?.objects.remove(&fd)?;
        self.release(id)
    }

    fn release(&mut self, id: ObjectId) -> Option<(ObjectId, Object)> {
        self.total -= 1;
        let object = self.objects.get_mut(&id)?;
        object.copies -= 1;
        if object.copies > 0 {
            return None;
        }
        let object = self.objects.remove(&id)?;
        for (poll, data) in &object.polls {
            if let Some(Kind::Poll(sources)) = self.objects.get_mut(poll).map(|poll| &mut poll.kind)
                && sources.get(data) == Some(&id)
            {
                sources.remove(data);
            }
        }
        Some((id, object))
    }

    /// Whether a thread was seen before.
    pub(super) fn knows(&self, thread: u64) -> bool {
        self.table_of.contains_key(&thread)
    }

    /// A thread that no other was seen to start: of the first process, or one that strace was attached to.
    pub(super) fn appear(&mut self, thread: u64) {
        self.enter(thread, 0);
    }

    /// A thread is there already, and the call of its parent that starts it has not returned.
    pub(super) fn appear_early(&mut self, parent: u64, child: u64, is_shared: bool) {
        self.start(parent, child, is_shared);
        self.early.insert(child);
    }

    /// A thread has started another, which shares its descriptors or gets a copy of them.
    pub(super) fn start(&mut self, parent: u64, child: u64, is_shared: bool) {
        // It may have ended again by now.
        if self.early.remove(&child) || self.knows(child) {
            return;
        }
        let from = self.table(parent);
        let table = if is_shared { from } else { self.copy(from) };
        self.enter(child, table);
    }

    fn enter(&mut self, thread: u64, table: u64) {
        self.table_of.insert(thread, table);
        self.tables.entry(table).or_default().threads += 1;
    }

    fn copy(&mut self, from: u64) -> u64 {
        self.last += 1;
        let objects = self.tables.get(&from).map(|table| table.objects.clone()).unwrap_or_default();
        if self.total + objects.len() <= MOST_DESCRIPTORS {
            objects.into_iter().for_each(|(fd, id)| self.place(self.last, fd, id));
        }
        self.last
    }

    /// A thread has ended. If it was the last of its process, returns what is gone by that: all that only this process
    /// had.
    pub(super) fn end(&mut self, thread: u64) -> Option<Vec<(ObjectId, Object)>> {
        let number = self.table_of.remove(&thread)?;
        let table = self.tables.get_mut(&number)?;
        table.threads -= 1;
        if table.threads > 0 {
            return None;
        }
        let mut objects: Vec<_> = self.tables.remove(&number)?.objects.into_iter().collect();
        objects.sort_unstable_by_key(|(fd, _)| *fd);
        Some(objects.into_iter().filter_map(|(_, id)| self.release(id)).collect())
    }

    fn table(&self, thread: u64) -> u64 {
        self.table_of.get(&thread).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_closed_with_its_last_copy() {
        let mut all = Descriptors::default();
        all.appear(1);
        let (id, _) = all.insert(1, 5, Kind::Connection(Totals::default()));
        all.start(1, 2, false);
        all.start(1, 3, true);
        assert_eq!((all.find(2, 5), all.find(3, 5)), (id, id));
        assert!(all.close(3, 5).is_none() && all.find(1, 5).is_none(), "threads share descriptors");
        all.duplicate(2, 5, 9);
        assert!(all.close(2, 5).is_none());
        assert_eq!(all.end(2).unwrap().len(), 1, "the copy under 9 was the last");
        assert!(all.objects.is_empty() && all.total == 0);
    }

    #[test]
    fn a_thread_that_ends_before_the_call_that_starts_it_returns_is_not_counted_twice() {
        let mut all = Descriptors::default();
        all.appear(1);
        all.insert(1, 5, Kind::Other);
        all.appear_early(1, 2, true);
        assert!(all.end(2).is_none());
        all.start(1, 2, true);
        assert_eq!(all.end(1).unwrap().len(), 1);
    }

    #[test]
    fn a_new_descriptor_replaces_one_whose_close_was_not_seen() {
        let mut all = Descriptors::default();
        let (first, _) = all.insert(1, 5, Kind::Other);
        let (second, closed) = all.insert(1, 5, Kind::Other);
        assert_eq!(closed.map(|(id, _)| id), first);
        assert_eq!(all.find(1, 5), second);
    }
}
