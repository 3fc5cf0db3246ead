use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::client::report::sample;

/// All three reports, in a directory.
fn paths(dir: &Path) -> Paths {
    Paths {
        json: Some(dir.join("run.json")),
        hdr: Some(dir.join("run.hlog")),
        page: Some(dir.join("run.html")),
        baseline: None,
    }
}

fn all(paths: &Paths) -> [&Path; 3] {
    [&paths.json, &paths.hdr, &paths.page].map(|path| path.as_deref().unwrap())
}

fn finish(files: Files) -> io::Result<()> {
    files.finish(&sample::run(2, 1.0), &sample::options(), None, vec!["resound".into()])
}

fn refused(paths: &Paths) -> String {
    let error = Files::open(paths).err().expect("a refusal").to_string();
    assert!(!error.contains('\n'), "{error:?}");
    error
}

#[test]
fn a_finished_run_leaves_its_reports() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    let mut files = Files::open(&paths).unwrap();
    let outcome = sample::run(2, 1.0);
    files.start(outcome.began);
    // An incomplete file does not have the final name.
    assert!(all(&paths).iter().all(|path| !path.exists()));
    outcome.intervals.iter().for_each(|interval| files.interval(interval, &outcome.response));
    finish(files).unwrap();
    let [json, hdr, page] = all(&paths).map(|path| fs::read_to_string(path).unwrap());
    assert!(json.starts_with('{') && json.ends_with("}\n"), "{json}");
    assert_eq!(RunData::read(&dir.path().join("run.json")).unwrap().intervals, outcome.intervals);
    let data = hdr.lines().filter(|line| !line.starts_with(['#', '"'])).count();
    assert_eq!((data, hdr.matches("#[StartTime").count()), (2, 1), "{hdr}");
    assert!(page.ends_with("</html>\n"), "{page}");
}

#[test]
fn longer_old_reports_are_replaced_completely() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    all(&paths).into_iter().for_each(|path| fs::write(path, "x".repeat(1 << 20)).unwrap());
    finish(Files::open(&paths).unwrap()).unwrap();
    for path in all(&paths) {
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.is_empty() && !text.contains("xxxx"), "{path:?}");
    }
}

#[test]
fn a_run_without_an_end_leaves_all_files_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    let [json, others @ ..] = all(&paths);
    fs::write(json, "earlier").unwrap();
    drop(Files::open(&paths).unwrap());
    assert_eq!(fs::read_to_string(json).unwrap(), "earlier");
    assert!(others.iter().all(|path| !path.exists()), "empty files are left");
}

#[test]
fn a_path_that_cannot_be_written_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing\n/run.html");
    let (name, page) = (missing.to_string_lossy().replace('\n', "\\n"), Some(missing));
    let error = refused(&Paths { page, ..paths(dir.path()) });
    assert_eq!(error, format!("cannot write {name}: no such file or directory"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the others are left");
    let error = refused(&Paths { hdr: Some(dir.path().into()), ..Paths::default() });
    assert!(error.ends_with(": is a directory"), "{error}");
}

#[test]
fn a_missing_baseline_is_refused_before_a_file_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let baseline = Some(dir.path().join("none.json"));
    let error = refused(&Paths { baseline, ..paths(dir.path()) });
    assert!(error.starts_with("cannot compare with "), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn two_reports_in_one_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (page, other) = (dir.path().join("run.html"), dir.path().join("other"));
    symlink(&page, &other).unwrap();
    for json in [&page, &other] {
        let two = Paths { json: Some(json.clone()), page: Some(page.clone()), ..Paths::default() };
        assert!(refused(&two).ends_with(": another report goes there already: name another file"));
    }
    let null = Some(PathBuf::from("/dev/null"));
    let both = Paths { json: null.clone(), hdr: null.clone(), page: null, baseline: None };
    finish(Files::open(&both).unwrap()).unwrap();
}

#[test]
fn a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    symlink(&target, &link).unwrap();
    let paths = Paths { json: Some(link.clone()), ..Paths::default() };
    finish(Files::open(&paths).unwrap()).unwrap();
    assert!(link.is_symlink());
    assert!(fs::read_to_string(target).unwrap().starts_with('{'));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let full = Some(PathBuf::from("/dev/full"));
    let outcome = sample::run(2, 1.0);
    let mut files = Files::open(&Paths { hdr: full, ..paths(dir.path()) }).unwrap();
    outcome.intervals.iter().for_each(|interval| files.interval(interval, &outcome.response));
    let error = finish(files).unwrap_err().to_string();
    assert_eq!(error, "cannot write /dev/full: no space left on device");
    assert!(fs::read_to_string(dir.path().join("run.html")).is_ok_and(|page| !page.is_empty()));
}

#[test]
fn a_report_keeps_the_mode_of_the_old_one_and_leaves_no_other_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    let [json, ..] = all(&paths);
    fs::write(json, "earlier").unwrap();
    fs::set_permissions(json, fs::Permissions::from_mode(0o640)).unwrap();
    finish(Files::open(&paths).unwrap()).unwrap();
    assert_eq!(fs::metadata(json).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

/// A link may lead to another link, in its own directory, and to a file that does not exist yet.
#[test]
fn links_are_followed_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    symlink("sub/second", dir.path().join("first")).unwrap();
    symlink("target", dir.path().join("sub/second")).unwrap();
    let paths = Paths { json: Some(dir.path().join("first")), ..Paths::default() };
    finish(Files::open(&paths).unwrap()).unwrap();
    assert!(fs::read_to_string(dir.path().join("sub/target")).unwrap().starts_with('{'));
    symlink("loop", dir.path().join("loop")).unwrap();
    let error = refused(&Paths { json: Some(dir.path().join("loop")), ..Paths::default() });
    assert!(error.ends_with("too many levels of symbolic links"), "{error}");
}

#[test]
fn two_names_of_one_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let (plain, around) = (dir.path().join("run"), dir.path().join("sub/../run"));
    let two = Paths { json: Some(plain.clone()), page: Some(around), ..Paths::default() };
    assert!(refused(&two).contains("another report goes there already"));
    fs::write(&plain, "earlier").unwrap();
    let linked = dir.path().join("linked");
    fs::hard_link(&plain, &linked).unwrap();
    let two = Paths { json: Some(plain), page: Some(linked), ..Paths::default() };
    assert!(refused(&two).contains("another report goes there already"));
}

#[test]
fn only_the_new_json_may_replace_the_baseline() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    finish(Files::open(&paths).unwrap()).unwrap();
    let baseline = paths.json.clone();
    finish(Files::open(&Paths { baseline: baseline.clone(), ..paths.clone() }).unwrap()).unwrap();
    let page = Paths { json: None, page: baseline.clone(), baseline: baseline.clone(), hdr: None };
    assert!(refused(&page).ends_with("it is the baseline: name another file"));
    let hdr = Paths { json: None, hdr: baseline.clone(), baseline, page: None };
    assert!(refused(&hdr).ends_with("it is the baseline: name another file"));
}

#[test]
fn each_report_that_cannot_be_written_is_reported() {
    let full = Some(PathBuf::from("/dev/full"));
    let files = Files::open(&Paths { json: full.clone(), page: full, ..Paths::default() }).unwrap();
    let error = finish(files).unwrap_err().to_string();
    let one = "cannot write /dev/full: no space left on device";
    assert_eq!(error, format!("{one}; {one}"));
}
