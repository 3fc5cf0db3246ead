//! Splits the arguments of a call in the notation of strace(1): quoted bytes, structures, arrays, and descriptors with
//! what they are, such as `7<TCP:[127.0.0.1:7007->127.0.0.1:40000]>`.

/// The arguments of a call, and what follows its closing parenthesis. `None` for the latter if there is none.
pub(super) fn arguments(text: &str) -> (Vec<&str>, Option<&str>) {
    let mut parts = Parts::new(text);
    let mut found = Vec::new();
    let mut begin = 0;
    while let Some((at, byte)) = parts.next_outer() {
        match byte {
            b',' => {
                found.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {
                push_last(&mut found, &text[begin..at]);
                return (found, Some(&text[at + 1..]));
            }
        }
    }
    push_last(&mut found, &text[begin..]);
    (found, None)
}

fn push_last<'a>(found: &mut Vec<&'a str>, text: &'a str) {
    let text = text.trim();
    if !text.is_empty() {
        found.push(text);
    }
}

/// Finds the commas and the closing parenthesis that are not inside of anything.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The brackets that are open, by what closes each.
    open: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, open: Vec::new() }
    }

    /// The next outer comma or closing parenthesis, and where it stands.
    fn next_outer(&mut self) -> Option<(usize, u8)> {
        while let Some(&byte) = self.bytes.get(self.at) {
            let at = self.at;
            self.at += 1;
            match byte {
                b'"' => self.at = after_quote(self.bytes, at),
                b'(' => self.open.push(b')'),
                b'[' => self.open.push(b']'),
                b'{' => self.open.push(b'}'),
                b'<' if self.is_decoration(at) => self.open.push(b'>'),
                b')' | b',' if self.open.is_empty() => return Some((at, byte)),
                _ if self.open.last() == Some(&byte) => drop(self.open.pop()),
                _ => {}
            }
        }
        None
    }

    /// Whether the `<` here says what a descriptor is. It follows a number or a name; a shift follows a `<` or a blank.
    fn is_decoration(&self, at: usize) -> bool {
        let before = at.checked_sub(1).map(|at| self.bytes[at]);
        before.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && self.bytes.get(at + 1) != Some(&b'<')
    }
}

/// The first byte after a quoted text.
fn after_quote(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The values of a field such as `iov_len=`, outside of quoted bytes: those come from peers.
pub(super) fn fields<'a>(text: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    unquoted(text).flat_map(move |part| part.split(field).skip(1)).map(|rest| {
        let end = rest.find([',', '}', ']', ')', ' ']).unwrap_or(rest.len());
        &rest[..end]
    })
}

/// The parts of a text that are not quoted.
fn unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let quote = rest.find('"').map_or(text.len(), |quote| at + quote);
        let part = &text[at..quote];
        at = if quote < text.len() { after_quote(text.as_bytes(), quote) } else { quote };
        Some(part)
    })
}

/// The number of a descriptor, and what strace says it is: `7`, `TCP:[…]`.
pub(super) fn descriptor(text: &str) -> Option<(i32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    let what = match text[digits..].strip_prefix('<') {
        Some(what) => what.strip_suffix('>').unwrap_or(what),
        None if digits == text.len() => "",
        None => return None,
    };
    Some((number, what))
}

/// Whether strace says that a descriptor is a socket for a stream of bytes.
pub(super) fn is_stream(what: &str) -> bool {
    ["TCP:[", "TCPv6:[", "UNIX:[", "UNIX-STREAM:["].iter().any(|start| what.starts_with(start))
}

/// A number as strace writes it: decimal, hexadecimal, or -1.
pub(super) fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as i64),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_are_split_outside_of_everything() {
        for (text, expected, rest) in [
            (
                "4<anon_inode:[eventpoll]>, [{events=EPOLLIN, data={u32=0, u64=0}}], 1024, -1) = 1",
                4,
                Some(" = 1"),
            ),
            ("5<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"a\\\"), = \\\\\", 4096) = 3", 3, Some(" = 3")),
            (
                "AT_FDCWD</tmp/a,b>, \"x\"...) = 3</dev/null<char 1:3>>",
                2,
                Some(" = 3</dev/null<char 1:3>>"),
            ),
            ("0x7f, 1<<20, 3 << 4) = 0", 3, Some(" = 0")),
            (") = 24", 0, Some(" = 24")),
            ("4<UNIX-STREAM:[12->13,\"/run/x\"]>, ", 1, None),
            ("\"never closed\\", 1, None),
        ] {
            let (arguments, after) = arguments(text);
            assert_eq!((arguments.len(), after), (expected, rest), "{text}: {arguments:?}");
        }
    }

    #[test]
    fn fields_are_not_found_in_bytes_of_peers() {
        let text = r#"{msg_iov=[{iov_base="iov_len=9\"iov_len=8", iov_len=16}, {iov_base="", iov_len=4}]}"#;
        assert_eq!(fields(text, "iov_len=").collect::<Vec<_>>(), ["16", "4"]);
    }

    #[test]
    fn descriptors_and_numbers() {
        assert_eq!(descriptor("7<TCP:[a->b]>"), Some((7, "TCP:[a->b]")));
        assert_eq!(descriptor("7"), Some((7, "")));
        assert_eq!(descriptor("AT_FDCWD</tmp>"), None);
        assert_eq!(descriptor("0x7ffc"), None);
        assert_eq!((number("0x10"), number("-1"), number("NULL")), (Some(16), Some(-1), None));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[<>\\[\\](){}\",=\\\\0-9é]){0,80}") {
            let _ = arguments(&text);
            let _ = fields(&text, "a=").count();
            let _ = descriptor(&text);
        }
    }
}
