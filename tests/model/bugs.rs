//! Bugs that are planted in copies of the scheduler, one in each, and the models that must fail on
//! them. Read by the build script alone.
//!
//! To be found, `from` has to occur once in its file, apart from white space and comments. If it
//! does not, the code has changed: say here how the bug looks in it.

use Model::{Parts, Serves, Settles};

/// A file of the scheduler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// `memory.rs`.
    Memory,
    /// `session.rs`.
    Session,
}

/// What is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// A whole session against its definition, by shuttle.
    Serves,
    /// All guesses of a session without a commit, by shuttle: none is lost.
    Settles,
    /// Small parts, by loom.
    Parts,
}

/// One change of the code.
pub(crate) struct Change {
    pub(crate) file: File,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A planted bug.
pub(crate) struct Bug {
    /// What the scheduler does wrong; the name of its module.
    pub(crate) name: &'static str,
    pub(crate) change: Change,
    /// Each of them alone fails.
    pub(crate) caught_by: &'static [Model],
}

/// What is changed in every copy, for it to be explored at all: a schedule can be repeated only if
/// hashes are the same again, and small tables make chance meetings likely.
pub(crate) const SETTINGS: &[Change] = &[
    Change {
        file: File::Memory,
        from: "use foldhash::fast::RandomState;",
        to: "use foldhash::fast::FixedState as RandomState;",
    },
    Change {
        file: File::Memory,
        from: "const SHARDS: usize = 64;",
        to: "const SHARDS: usize = 2;",
    },
    Change {
        file: File::Memory,
        from: "const FILTER_WORDS: usize = 1024;",
        to: "const FILTER_WORDS: usize = 1;",
    },
    Change {
        file: File::Session,
        from: "const SUFFIX_COMMITS_MIN: usize = 32;",
        to: "const SUFFIX_COMMITS_MIN: usize = 3;",
    },
];

/// What loom has by another name.
pub(crate) const SETTINGS_OF_LOOM: &[Change] = &[Change {
    file: File::Memory,
    from: "*word.get_mut() = 0;",
    to: "word.with_mut(|word| *word = 0);",
}];

/// The planted bugs.
pub(crate) const BUGS: &[Bug] = &[
    // Lost updates: two threads where there must be one.
    Bug {
        name: "claims_in_two_steps",
        change: Change {
            file: File::Session,
            from: "self.status[tx].compare_exchange(from, RUNNING, Ordering::AcqRel, \
                   Ordering::Acquire).is_ok()",
            to: "if self.status[tx].load(Ordering::Acquire) != from { return false; }
                 self.status[tx].store(RUNNING, Ordering::Release);
                 true",
        },
        caught_by: &[Serves],
    },
    Bug {
        name: "commits_without_the_lock",
        change: Change {
            file: File::Session,
            from: "let Some(_lock) = self.commit.try_lock() else { return false };",
            to: "",
        },
        caught_by: &[Serves],
    },
    Bug {
        name: "notes_a_write_in_two_steps",
        change: Change {
            file: File::Memory,
            from: "self.written[word].fetch_or(bit, Ordering::Release);",
            to: "let bits = self.written[word].load(Ordering::Acquire);
                 self.written[word].store(bits | bit, Ordering::Release);",
        },
        caught_by: &[Serves, Parts],
    },
    // Stale validation: what is committed was computed from what is no longer so.
    Bug {
        name: "commits_what_it_did_not_compare",
        change: Change { file: File::Session, from: "if !is_current {", to: "if false {" },
        caught_by: &[Serves],
    },
    Bug {
        name: "forgets_that_a_key_was_written",
        change: Change {
            file: File::Memory,
            from: "entry.writes.remove(place);",
            to: "entry.writes.remove(place);
                 let (word, bit) = filter_place(self.hasher.hash_one(key));
                 self.written[word].fetch_and(!bit, Ordering::Release);",
        },
        caught_by: &[Serves],
    },
    // Marks that outlive their reason.
    Bug {
        name: "claims_what_is_being_marked",
        change: Change {
            file: File::Session,
            from: "RUNNING | DOUBTED => return has_worked,",
            to: "RUNNING => return has_worked,",
        },
        caught_by: &[Serves],
    },
    Bug {
        name: "marks_what_may_run_again",
        change: Change {
            file: File::Session,
            from: "if self.guarded(tx, || self.program.suspect(tx)).is_some() {
                       self.enqueue(tx);
                   }",
            to: "self.enqueue(tx);
                 self.guarded(tx, || self.program.suspect(tx));",
        },
        caught_by: &[Serves],
    },
    Bug {
        name: "leaves_a_new_write_in_doubt",
        change: Change { file: File::Memory, from: "write.is_suspect = false;", to: "" },
        caught_by: &[Serves],
    },
    // It does not end, or runs too often.
    Bug {
        name: "leaves_the_parked_where_they_are",
        change: Change {
            file: File::Session,
            from: "RUNNING | DOUBTED => return has_worked,",
            to: "RUNNING | DOUBTED | PARKED => return has_worked,",
        },
        caught_by: &[Serves],
    },
    Bug {
        name: "guesses_without_end",
        change: Change {
            file: File::Session,
            from: "if self.runs[tx].load(Ordering::Relaxed) >= GUESSES_MAX
                       || self.is_sequential.load(Ordering::Acquire)",
            to: "if self.is_sequential.load(Ordering::Acquire)",
        },
        caught_by: &[Serves],
    },
    // Missed wake-ups: a transaction sleeps although the one it waits for has run.
    Bug {
        name: "looks_before_it_has_the_lock",
        change: Change {
            file: File::Session,
            from: "let mut waiters = self.waiters[on].lock();
                   if matches!(self.status[on].load(Ordering::Acquire), EXECUTED | COMMITTED) {
                       return false;
                   }",
            to: "if matches!(self.status[on].load(Ordering::Acquire), EXECUTED | COMMITTED) {
                     return false;
                 }
                 let mut waiters = self.waiters[on].lock();",
        },
        caught_by: &[Settles, Parts],
    },
    Bug {
        name: "wakes_before_it_is_done",
        change: Change {
            file: File::Session,
            from: "self.status[tx].store(EXECUTED, Ordering::Release);
                   self.doubt_all(&hand.overtaken);
                   self.wake(tx);",
            to: "self.wake(tx);
                 self.status[tx].store(EXECUTED, Ordering::Release);
                 self.doubt_all(&hand.overtaken);",
        },
        caught_by: &[Settles, Parts],
    },
    Bug {
        name: "wakes_nobody_after_the_last_guess",
        change: Change {
            file: File::Session,
            from: "self.status[tx].store(EXECUTED, Ordering::Release);
                   self.wake(tx);
                   return;",
            to: "self.status[tx].store(EXECUTED, Ordering::Release);
                 return;",
        },
        caught_by: &[Parts],
    },
    Bug {
        name: "queues_before_it_says_so",
        change: Change {
            file: File::Session,
            from: "self.status[tx].store(QUEUED, Ordering::Release);
                   if self.again.lock().insert(tx) {
                       self.again_count.fetch_add(1, Ordering::AcqRel);
                   }",
            to: "if self.again.lock().insert(tx) {
                     self.again_count.fetch_add(1, Ordering::AcqRel);
                 }
                 self.status[tx].store(QUEUED, Ordering::Release);",
        },
        caught_by: &[Settles],
    },
    // Stale guesses: nobody tells the reader.
    Bug {
        name: "looks_for_the_flag_too_early",
        change: Change {
            file: File::Session,
            from: "self.status[tx].store(EXECUTED, Ordering::Release);
                   self.doubt_all(&hand.overtaken);
                   self.wake(tx);
                   if self.is_dirty[tx].fetch_or(false, Ordering::AcqRel) {",
            to: "let is_dirty = self.is_dirty[tx].fetch_or(false, Ordering::AcqRel);
                 self.status[tx].store(EXECUTED, Ordering::Release);
                 self.doubt_all(&hand.overtaken);
                 self.wake(tx);
                 if is_dirty {",
        },
        caught_by: &[Settles, Parts],
    },
    Bug {
        name: "raises_the_flag_too_late",
        change: Change {
            file: File::Session,
            from: "self.is_dirty[*tx].swap(true, Ordering::AcqRel);
                   self.doubt(*tx);",
            to: "self.doubt(*tx);
                 self.is_dirty[*tx].swap(true, Ordering::AcqRel);",
        },
        caught_by: &[Settles],
    },
    Bug {
        name: "notes_a_reader_too_late",
        change: Change {
            file: File::Memory,
            from: "self.with_entry(key, hash, |entry| {
                       entry.note_reader(to_u32(index));
                       entry.latest(index)
                   })",
            to: "let latest = self.with_entry(key, hash, |entry| entry.latest(index));
                 self.with_entry(key, hash, |entry| entry.note_reader(to_u32(index)));
                 latest",
        },
        caught_by: &[Settles, Parts],
    },
    Bug {
        name: "tells_nobody_of_a_retraction",
        change: Change {
            file: File::Memory,
            from: "entry.writes.remove(place);
                   entry.overtake(by, overtaken);",
            to: "entry.writes.remove(place);",
        },
        caught_by: &[Settles],
    },
    Bug {
        name: "spares_the_next_writer",
        change: Change {
            file: File::Memory,
            from: "|reader| *reader <= write.by",
            to: "|reader| *reader < write.by",
        },
        caught_by: &[Settles],
    },
];
