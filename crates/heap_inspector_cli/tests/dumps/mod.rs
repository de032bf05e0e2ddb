//! The real dumps, as links in a folder of this test process alone, so that index files are not written among the sources.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const DUMPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../heap_inspector/tests/dumps");

/// The folder; it is emptied when the next process makes its own.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the target folder can be written to");
        for entry in std::fs::read_dir(DUMPS).expect("the dumps are in the sources") {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().expect("a file has a name");
            std::os::unix::fs::symlink(&path, folder.join(name)).expect("a new folder has no such link");
        }
        folder
    });
    &FOLDER
}
