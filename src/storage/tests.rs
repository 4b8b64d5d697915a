#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
use super::{disk::changed_by, *};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

/// A user that is neither root nor us.
const SOMEBODY: u32 = 65_000;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refused(folder: &Path) -> String {
    let error = Disk.claim(folder, Whose::Ours).unwrap_err().to_string();
    assert!(error.contains(&folder.display().to_string()), "{error}");
    error
}

/// Only root can give files away.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_folder_is_made_for_its_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new/state");
    let lock = Disk.claim(&folder, Whose::Ours).unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&place.path().join("new")), 0o700);
    assert_eq!(mode(&folder.join("lock")), 0o600);
    let told = refused(&folder);
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    drop(lock);
    Disk.claim(&folder, Whose::Ours).unwrap();
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("state");
    fs::create_dir(&folder).unwrap();
    for bits in [0o770, 0o707, 0o1777] {
        set_mode(&folder, bits);
        let told = refused(&folder);
        assert!(told.contains(&format!("mode {bits:04o}")), "{told}");
        assert!(told.contains(&format!("run `chmod go-w {}`", folder.display())), "{told}");
        assert!(!folder.join("lock").exists(), "nothing is written there");
    }
    set_mode(&folder, 0o750);
    Disk.claim(&folder, Whose::Ours).unwrap();
}

#[test]
fn a_folder_that_everybody_can_replace_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let above = place.path().join("above");
    let folder = above.join("state");
    fs::create_dir_all(&folder).unwrap();
    set_mode(&folder, 0o700);
    set_mode(&above, 0o777);
    let told = refused(&folder);
    assert!(told.contains(&format!("run `chmod o-w {}`", above.display())), "{told}");
    // As /tmp is.
    set_mode(&above, 0o1777);
    Disk.claim(&folder, Whose::Ours).unwrap();
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("state");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let told = refused(&folder);
    assert!(told.contains(&format!("belongs to user number {SOMEBODY}")), "{told}");
    assert!(told.contains(&format!("run `chown -R 0 {}`", folder.display())), "{told}");
    assert!(!folder.join("lock").exists());
    // Root prepares it for that user.
    Disk.claim(&folder, Whose::Anybodys).unwrap();
}

#[test]
fn a_link_to_the_folder_is_followed_only_where_it_is_ours() {
    let place = tempfile::tempdir().unwrap();
    let (folder, link) = (place.path().join("state"), place.path().join("link"));
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    symlink(&folder, &link).unwrap();
    Disk.claim(&link, Whose::Ours).unwrap();
    assert!(folder.join("lock").exists());
    if is_root() {
        std::os::unix::fs::lchown(&link, Some(SOMEBODY), None).unwrap();
        let told = refused(&link);
        assert!(told.contains(&format!("symbolic link of user number {SOMEBODY}")), "{told}");
        assert!(told.contains("remove it, or set state.directory"), "{told}");
    }
    // One that leads nowhere.
    fs::remove_file(&link).unwrap();
    symlink(place.path().join("nowhere"), &link).unwrap();
    assert!(refused(&link).contains("cannot use the state directory"));
}

#[test]
fn what_is_no_folder_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("state");
    fs::write(&file, "mine").unwrap();
    assert!(refused(&file).contains("make it a directory"));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_new_folder_is_made_durable_in_every_folder_that_changes() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (b, a) = (place.join("a/b"), place.join("a"));
    let c = b.join("c");
    assert_eq!(changed_by(&c), [b.as_path(), &a, place]);
    fs::create_dir_all(&b).unwrap();
    assert_eq!(changed_by(&c), [b.as_path()]);
    assert_eq!(changed_by(&b), [] as [&Path; 0]);
    assert_eq!(changed_by(Path::new("no-such/state")), [Path::new("no-such"), Path::new(".")]);
}

/// A file of somebody else, and a link to it in the folder.
fn trap(name: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("state");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    let victim = place.path().join("victim");
    fs::write(&victim, "theirs").unwrap();
    set_mode(&victim, 0o644);
    let link = folder.join(name);
    symlink(&victim, &link).unwrap();
    (place, victim, link)
}

#[test]
fn the_lock_is_no_way_to_write_elsewhere() {
    let (_place, victim, link) = trap("lock");
    let told = refused(link.parent().unwrap());
    assert!(told.contains("it is a symbolic link") && told.contains("remove it"), "{told}");
    assert_eq!(fs::read(&victim).unwrap(), b"theirs");
    // Nor to wait for ever.
    fs::remove_file(&link).unwrap();
    nix::unistd::mkfifo(&link, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused(link.parent().unwrap()).contains("it is no file of ours: remove it"));
    // Nor to empty a file that has another name elsewhere.
    fs::remove_file(&link).unwrap();
    set_mode(&victim, 0o600);
    fs::hard_link(&victim, &link).unwrap();
    assert!(refused(link.parent().unwrap()).contains("it is no file of ours: remove it"));
    assert_eq!(fs::read(&victim).unwrap(), b"theirs");
}

#[test]
fn a_file_is_created_in_place_of_a_link_and_not_through_it() {
    let (_place, victim, link) = trap("history.new");
    let mut file = Disk.create(&link).unwrap();
    file.append(b"ours").unwrap();
    file.sync().unwrap();
    assert!(file.is_at(&link));
    assert_eq!(fs::read(&victim).unwrap(), b"theirs");
    assert_eq!(fs::read(&link).unwrap(), b"ours");
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(mode(&link), 0o600);
    // A file of another mode is no other file.
    set_mode(&link, 0o666);
    Disk.create(&link).unwrap();
    assert_eq!(mode(&link), 0o600);
    assert!(!file.is_at(&link), "what is written to the old one is gone");
}

#[test]
fn a_file_is_renamed_and_linked_in_place_of_a_link() {
    for call in [Disk::rename as fn(&Disk, &Path, &Path) -> io::Result<()>, Disk::link] {
        let (_place, victim, link) = trap("history");
        let from = link.with_extension("new");
        Disk.create(&from).unwrap().append(b"ours").unwrap();
        call(&Disk, &from, &link).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"theirs");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}

#[test]
fn a_link_is_not_read() {
    let (_place, _, link) = trap("history");
    let told = Disk.read(&link, None).unwrap_err().to_string();
    assert!(told.contains("it is a symbolic link") && told.contains("remove it"), "{told}");
    // Nor is it waited for somebody who never writes.
    fs::remove_file(&link).unwrap();
    nix::unistd::mkfifo(&link, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(Disk.read(&link, None).unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn what_is_not_finished_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let (path, aside) = (place.path().join("file"), place.path().join("file.new"));
    fs::write(&path, "old").unwrap();
    let mut half = Replacement::begin(&Disk, aside.clone()).unwrap();
    half.file().append(b"new").unwrap();
    drop(half);
    assert!(!aside.exists());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mut whole = Replacement::begin(&Disk, aside.clone()).unwrap();
    whole.file().append(b"new").unwrap();
    whole.finish(&path).unwrap();
    assert!(!aside.exists());
    assert_eq!(fs::read(&path).unwrap(), b"new");
}
