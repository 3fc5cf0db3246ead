//! The options of `resound serve` that its environment gives.
//!
//! Every option has its variable, since the names are made from the options: `RESOUND_MAX_CONNECTIONS` stands for
//! `--max-connections`. clap reads variables too, but takes an empty one for a value, finds contradictions between a
//! variable and an argument, and does not name the variable in an error. So this module turns variables into arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Failure, refusal};
use crate::text::Excerpt;

/// Adds to the arguments of `serve` the options that only the environment gives.
///
/// # Errors
///
/// If the value of a variable makes no sense.
pub(super) fn complete(
    given: ArgMatches,
    grammar: &mut Command,
    mut args: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<ArgMatches, Failure> {
    let Some((name, matches)) = given.subcommand().filter(|(name, _)| *name == "serve") else {
        return Ok(given);
    };
    let Some(serve) = grammar.find_subcommand(name) else { return Ok(given) };
    let mut added = Vec::new();
    for arg in serve.get_arguments() {
        if let Some((variable, value)) = value(arg, &variable)
            && !is_settled(arg, matches)
        {
            added.extend(arguments(arg, &variable, &value)?);
        }
    }
    if added.is_empty() {
        return Ok(given);
    }
    // serve takes options only, so this ends the arguments, if it is there.
    args.retain(|arg| arg != "--");
    args.extend(added);
    let matches = grammar.try_get_matches_from_mut(&args);
    matches.map_err(|error| {
        let variable = variable_of(&error);
        Failure::usage(&format!("{variable}: {}", refusal::line(error, grammar, &args)))
    })
}

/// The name of the variable for an option, if there is one.
fn variable(arg: &Arg) -> Option<String> {
    let is_of_serve = !arg.is_global_set() || arg.get_id() == "log_level";
    let has_value = arg.get_action().takes_values() || is_flag(arg);
    let long = arg.get_long().filter(|_| is_of_serve && has_value)?;
    Some(named(long))
}

fn named(long: &str) -> String {
    format!("RESOUND_{}", long.trim_start_matches('-').replace('-', "_").to_uppercase())
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether the command line decides about this option.
fn is_settled(arg: &Arg, given: &ArgMatches) -> bool {
    let is_given = |id: &&str| given.value_source(id) == Some(ValueSource::CommandLine);
    let decide: &[_] = match arg.get_id().as_str() {
        "log_level" => &["log_level", "verbose", "quiet"],
        id => &[id],
    };
    decide.iter().any(is_given)
}

/// The variable for an option and its value, if it is set and not empty.
fn value(arg: &Arg, of: impl Fn(&str) -> Option<OsString>) -> Option<(String, OsString)> {
    let name = variable(arg)?;
    let value = of(&name).filter(|value| !value.is_empty() && !is_service_link(&name, value))?;
    Some((name, value))
}

/// Whether Kubernetes made this variable, for a Service with a name such as `resound-reuse`. Docker did so too.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    name.ends_with("_PORT") && value.as_bytes().windows(3).any(|part| part == b"://")
}

/// The arguments that a variable stands for. An option that can be repeated takes a list. A list without a value is an
/// error: for `--allow`, no value means that all clients may connect.
fn arguments(arg: &Arg, variable: &str, value: &OsStr) -> Result<Vec<OsString>, Failure> {
    let option = format!("--{}", arg.get_long().unwrap_or_default());
    let refused = |what| Err(refused(variable, what, value));
    if is_flag(arg) {
        return match is_on(value) {
            Some(is_on) => Ok(Vec::from_iter(is_on.then(|| option.into()))),
            None => refused("write true or false"),
        };
    }
    // clap would not say which argument is not UTF-8.
    if value.to_str().is_none() {
        return refused("write UTF-8");
    }
    let values = match arg.get_action() {
        ArgAction::Append => list(value),
        _ => vec![value],
    };
    if values.is_empty() {
        return refused("write a value, or unset the variable,");
    }
    let argument = |value: &OsStr| [option.as_ref(), "=".as_ref(), value].into_iter().collect();
    Ok(values.into_iter().map(argument).collect())
}

/// The failure for a value that makes no sense, and what makes sense instead of it.
fn refused(variable: &str, right: &str, value: &OsStr) -> Failure {
    let value = value.to_string_lossy();
    let value = Excerpt(&value);
    Failure::usage(&format!("{variable}: {right} instead of '{value}'; try --help"))
}

fn is_on(value: &OsStr) -> Option<bool> {
    match value.to_str()?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The parts between the commas. Of all that the options take, only the path of a Unix socket can have a comma.
fn list(value: &OsStr) -> Vec<&OsStr> {
    let parts = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    parts.filter(|part| !part.is_empty()).map(OsStr::from_bytes).collect()
}

/// The variable whose value is wrong. An argument that is wrong was found before.
fn variable_of(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => named(arg.split([' ', '=']).next().unwrap_or_default()),
        _ => "a variable RESOUND_…".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::grammar;

    /// What `resound ARGS` reads in an environment that has these variables.
    fn read(args: &str, variables: &[(&str, &str)]) -> Result<ArgMatches, String> {
        let mut grammar = grammar();
        let args: Vec<_> = args.split(' ').map(OsString::from).collect();
        let given = grammar.try_get_matches_from_mut(&args).unwrap();
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        };
        complete(given, &mut grammar, args, value).map_err(|failure| {
            assert_eq!(failure.code, 2);
            failure.message
        })
    }

    /// The values of one option as they were written.
    #[track_caller]
    fn written(args: &str, variables: &[(&str, &str)], id: &str) -> String {
        let matches = read(args, variables).unwrap();
        let mut serve = &matches;
        if let Some((_, matches)) = matches.subcommand() {
            serve = matches;
        }
        let values: Vec<_> = serve.get_raw(id).into_iter().flatten().collect();
        values.join(OsStr::new(" ")).into_string().unwrap()
    }

    /// Options that come later cannot be forgotten: each must take what its variable holds, or name it in an error.
    #[test]
    fn each_option_of_serve_has_a_variable() {
        let mut grammar = grammar();
        grammar.build();
        let serve = grammar.find_subcommand("serve").unwrap();
        let own = serve.get_arguments().filter(|arg| !arg.is_global_set());
        let own: Vec<_> =
            own.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())).collect();
        assert!(own.len() > 12);
        let names: BTreeSet<_> = own.iter().map(|arg| variable(arg).expect("a variable")).collect();
        assert_eq!(names.len(), own.len());
        for arg in own {
            let name = variable(arg).unwrap();
            match read("resound serve", &[(&name, "\u{1}?")]) {
                Err(line) => assert!(line.starts_with(&format!("{name}: ")), "{line}"),
                Ok(matches) => {
                    let (_, serve) = matches.subcommand().unwrap();
                    let source = serve.value_source(arg.get_id().as_str());
                    assert_eq!(source, Some(ValueSource::CommandLine), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_command_line_overrides_the_environment() {
        let variables = [
            ("RESOUND_BACKLOG", "7"),
            ("RESOUND_LISTEN", "[::1]:7"),
            ("RESOUND_LOG_LEVEL", "warn"),
        ];
        assert_eq!(written("resound serve", &variables, "backlog"), "7");
        assert_eq!(written("resound serve --backlog 8", &variables, "backlog"), "8");
        assert_eq!(written("resound serve -l 127.0.0.1:8", &variables, "listen"), "127.0.0.1:8");
        assert_eq!(written("resound serve", &variables, "log_level"), "warn");
        for args in ["serve -v", "-v serve", "serve -q", "-q serve", "serve -vv --"] {
            let matches = read(&format!("resound {args}"), &variables).unwrap();
            let (_, serve) = matches.subcommand().unwrap();
            assert_eq!(serve.get_raw("log_level").map(Iterator::count), None, "{args}");
            assert_eq!(serve.get_raw("backlog").unwrap().next(), Some(OsStr::new("7")), "{args}");
        }
    }

    #[test]
    fn a_list_is_separated_by_commas() {
        for (value, expected) in [
            ("127.0.0.1:7,[::1]:7", "127.0.0.1:7 [::1]:7"),
            (" 127.0.0.1:7 , unix:/run/my echo ,", "127.0.0.1:7 unix:/run/my echo"),
            ("", ""),
        ] {
            let variables = [("RESOUND_LISTEN", value)];
            assert_eq!(written("resound serve", &variables, "listen"), expected, "{value}");
        }
    }

    /// Failed when `RESOUND_ALLOW=,` let all clients connect.
    #[test]
    fn a_list_without_a_value_is_refused() {
        for name in ["RESOUND_LISTEN", "RESOUND_ALLOW", "RESOUND_DENY", "RESOUND_PROXY_FROM"] {
            for value in [",", " ", " ,", ",,\t,", "\n"] {
                let line = read("resound serve", &[(name, value)]).unwrap_err();
                let start = format!("{name}: write a value, or unset the variable, instead of '");
                assert!(line.starts_with(&start) && line.ends_with("'; try --help"), "{line}");
            }
        }
        assert_eq!(written("resound serve --allow ::1", &[("RESOUND_ALLOW", ",")], "allow"), "::1");
    }

    #[test]
    fn a_flag_takes_true_or_false() {
        for (value, expected) in [
            ("1", true),
            ("true", true),
            ("Yes", true),
            ("on", true),
            ("0", false),
            ("FALSE", false),
            ("no", false),
            ("off", false),
            ("", false),
        ] {
            let matches = read("resound serve", &[("RESOUND_ONCE", value)]).unwrap();
            assert_eq!(matches.subcommand().unwrap().1.get_flag("once"), expected, "{value}");
        }
        let line = read("resound serve", &[("RESOUND_ONCE", "2\n")]).unwrap_err();
        assert_eq!(line, "RESOUND_ONCE: write true or false instead of '2\\n'; try --help");
        // A flag of the command line cannot be taken back, since it has no value there.
        let matches = read("resound serve --once", &[("RESOUND_ONCE", "maybe")]).unwrap();
        assert!(matches.subcommand().unwrap().1.get_flag("once"));
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        for (name, value, what) in [
            ("RESOUND_MAX_CONNECTIONS", "many", "'many' for '--max-connections <N>'"),
            ("RESOUND_MAX_CONNECTIONS", "-1", "'-1' for '--max-connections <N>'"),
            ("RESOUND_LISTEN", "127.0.0.1:7,localhost", "'localhost' for '--listen <ADDR>'"),
            (
                "RESOUND_LISTEN",
                "127.0.0.1:7 [::1]:7",
                "'127.0.0.1:7 [::1]:7' for '--listen <ADDR>'",
            ),
            ("RESOUND_LOG_LEVEL", "loud", "'loud' for '--log-level <LEVEL>'"),
        ] {
            let line = read("resound serve", &[(name, value)]).unwrap_err();
            let start = format!("{name}: invalid value {what}: ");
            assert!(line.starts_with(&start) && line.ends_with("; try --help"), "{line}");
        }
    }

    /// Kubernetes sets these in each container if there is a Service of that name.
    #[test]
    fn variables_of_service_links_are_no_options() {
        let links = [
            ("RESOUND_SERVICE_HOST", "10.0.0.1"),
            ("RESOUND_SERVICE_PORT", "7"),
            ("RESOUND_SERVICE_PORT_ECHO", "7"),
            ("RESOUND_PORT", "tcp://10.0.0.1:7"),
            ("RESOUND_PORT_7_TCP", "tcp://10.0.0.1:7"),
            ("RESOUND_PORT_7_TCP_PROTO", "tcp"),
            ("RESOUND_PORT_7_UDP_PORT", "7"),
            ("RESOUND_PORT_7_TCP_ADDR", "10.0.0.1"),
            ("RESOUND_REUSE_PORT", "tcp://10.0.0.1:7"),
            ("RESOUND_NONSENSE", "1"),
        ];
        let matches = read("resound serve", &links).unwrap();
        assert!(!matches.subcommand().unwrap().1.get_flag("reuse_port"));
        let mut grammar = grammar();
        grammar.build();
        for arg in grammar.find_subcommand("serve").unwrap().get_arguments() {
            let name = variable(arg).unwrap_or_default();
            let is_link =
                links.iter().any(|(link, _)| *link == name) && name != "RESOUND_REUSE_PORT";
            assert!(
                !is_link && !name.contains("_SERVICE_") && !name.starts_with("RESOUND_PORT"),
                "{name}"
            );
        }
    }

    #[cfg(feature = "clients")]
    #[test]
    fn only_serve_takes_variables() {
        let variables =
            [("RESOUND_LOG_LEVEL", "loud"), ("RESOUND_TIMEOUT", "never"), ("RESOUND_COUNT", "x")];
        for args in ["connect", "ping", "load"] {
            assert!(read(&format!("resound {args} 127.0.0.1:7"), &variables).is_ok(), "{args}");
        }
    }
}
