//! Where one message ends and the next one begins, in a stream of JSON values.

/// Why there is no next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Something does not begin as a JSON value, so nothing says where it ends.
    NoMessage,
    /// A value is too large.
    TooLarge,
}

/// Takes a stream apart. Looks at each byte once.
#[derive(Debug)]
pub(super) struct Framer {
    bytes_max: usize,
    /// What is not handed out yet.
    buffer: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    /// Braces and brackets that are open.
    depth: usize,
    in_string: bool,
    /// Outside of them, in a number or a word, which end with what is none of theirs.
    in_word: bool,
    /// The last byte was a backslash in a string.
    is_escaped: bool,
}

impl Framer {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            buffer: Vec::new(),
            seen: 0,
            depth: 0,
            in_string: false,
            in_word: false,
            is_escaped: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, perhaps with space before it; `None` if more must be read for it.
    pub(super) fn next_message(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        while let Some(&byte) = self.buffer.get(self.seen) {
            self.seen += 1;
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return Ok(Some(self.cut()));
                        }
                    }
                    _ => {}
                }
                continue;
            }
            if self.in_word {
                if byte.is_ascii_whitespace() || b"{}[]\"".contains(&byte) {
                    self.seen -= 1;
                    return Ok(Some(self.cut()));
                }
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'}' | b']' if self.depth == 1 => return Ok(Some(self.cut())),
                b'"' => self.in_string = true,
                _ if self.depth > 0 || byte.is_ascii_whitespace() => {}
                b'-' | b'0'..=b'9' | b'f' | b'n' | b't' => self.in_word = true,
                _ => return Err(Broken::NoMessage),
            }
        }
        if self.depth == 0 && !self.in_string && !self.in_word {
            self.buffer.clear();
            self.seen = 0;
        }
        if self.buffer.len() > self.bytes_max { Err(Broken::TooLarge) } else { Ok(None) }
    }

    /// Hands out what was looked at, which is a message.
    fn cut(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.seen);
        (self.depth, self.seen, self.in_word) = (0, 0, false);
        std::mem::replace(&mut self.buffer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(framer: &mut Framer) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(message) = framer.next_message().unwrap() {
            found.push(String::from_utf8(message).unwrap().trim().to_owned());
        }
        found
    }

    /// However it arrives, a stream has these messages.
    #[track_caller]
    fn assert_framed(stream: &str, wanted: &[&str]) {
        for size in [1, 2, 3, 7, 1000] {
            let mut framer = Framer::new(100);
            let mut found = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                framer.push(chunk);
                found.extend(messages(&mut framer));
            }
            assert_eq!(found, wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn messages_end_with_their_last_brace_however_they_arrive() {
        let stream = r#" {"a":"}]\"{","b":[{}]}[1,"\\"]
            {}"#;
        let wanted = [r#"{"a":"}]\"{","b":[{}]}"#, r#"[1,"\\"]"#, "{}"];
        assert_framed(stream, &wanted);
    }

    #[test]
    fn a_string_ends_with_its_quote_and_a_number_or_a_word_before_what_is_none_of_it() {
        let stream = r#"1 null"a\"{"-2.5e+7[true]false{}nul!
            "#;
        let wanted = ["1", "null", r#""a\"{""#, "-2.5e+7", "[true]", "false", "{}", "nul!"];
        assert_framed(stream, &wanted);
    }

    #[test]
    fn what_does_not_begin_as_json_breaks_the_stream() {
        for stream in ["!", "}", "]", "{}x", "1}", "\u{feff}{}"] {
            let mut framer = Framer::new(100);
            framer.push(stream.as_bytes());
            let mut last = framer.next_message();
            while let Ok(Some(_)) = last {
                last = framer.next_message();
            }
            assert_eq!(last, Err(Broken::NoMessage), "{stream}");
        }
    }

    #[test]
    fn a_message_above_the_bound_breaks_the_stream() {
        let mut framer = Framer::new(4);
        framer.push(b"[1,2");
        assert_eq!(framer.next_message(), Ok(None));
        framer.push(b",3");
        assert_eq!(framer.next_message(), Err(Broken::TooLarge));
        for endless in ["12345", "\"1234"] {
            let mut framer = Framer::new(4);
            framer.push(endless.as_bytes());
            assert_eq!(framer.next_message(), Err(Broken::TooLarge), "{endless}");
        }
    }
}
