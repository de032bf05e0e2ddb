//! Which gem a file belongs to, told by its path alone, and which files are the app's.
//!
//! Sources: the folder names of RubyGems (`…/gems/NAME-VERSION/`), Bundler (`…/bundler/gems/NAME-REVISION/`), Debian's packages
//! (`/usr/share/rubygems-integration/…`, `/usr/lib/ruby/vendor_ruby`) and of an installed Ruby (`…/lib/ruby/3.3.0/`).

/// Which files are the app's: those below some paths, where such are named, else those that are no gem's and not Ruby's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Without slashes at their ends.
    below: Vec<String>,
}

impl App {
    /// What lies below these paths, gems that are unpacked there aside, is the app's, and nothing else. Of none all is that is no gem's.
    #[must_use]
    pub fn below(paths: impl IntoIterator<Item = String>) -> App {
        let paths = paths.into_iter().filter(|path| !path.is_empty());
        App { below: paths.map(|path| path.trim_end_matches('/').to_owned()).collect() }
    }

    /// Whether a file is the app's. What was evaluated without a file, or has none, is nobody's, and a gem's program in a folder of
    /// programs only starts the app.
    #[must_use]
    pub fn is_app(&self, path: &str) -> bool {
        let is_nobodys = path.is_empty() || path == "(null)" || path.starts_with("(eval") && !path.contains('/');
        let is_starter = ["/usr/bin/", "/usr/local/bin/"].iter().any(|folder| path.starts_with(folder))
            || path.contains("/bundle/bin/");
        !is_nobodys && (!is_starter || !self.below.is_empty()) && self.owner(path) == "app"
    }

    /// Where a file comes from, as [`gem`] says; `other` where it would be the app's, but lies below none of the paths.
    #[must_use]
    pub fn owner(&self, path: &str) -> String {
        if self.below.is_empty() {
            return gem(path);
        }
        if self.inside(path).is_some_and(|inside| gem(inside) == "app") {
            return "app".into();
        }
        match gem(path) {
            owner if owner == "app" => "other".into(),
            owner => owner,
        }
    }

    /// What of a path is behind the longest of the app's, its first slash too.
    fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix("(eval at ").unwrap_or(path);
        let inside = self.below.iter().filter_map(|below| path.strip_prefix(below.as_str()));
        inside.filter(|inside| inside.starts_with('/')).min_by_key(|inside| inside.len())
    }

    /// The path for people: behind the app's, the gem's or the standard library's folder, where it lies in such.
    #[must_use]
    pub fn short<'a>(&self, path: &'a str) -> &'a str {
        if let Some(inside) = self.inside(path).filter(|inside| gem(inside) == "app") {
            return &inside[1..];
        }
        let in_gem = path.rsplit_once("/gems/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, rest)| rest);
        let behind = |folder: &str| path.split_once(folder).map(|(_, rest)| rest);
        let in_ruby = || behind("/ruby/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest);
        match in_gem.or_else(|| behind("/vendor_ruby/")).or_else(|| in_ruby().filter(|_| is_stdlib(path))) {
            Some(rest) if !rest.is_empty() => rest.strip_prefix("lib/").unwrap_or(rest),
            _ => path,
        }
    }
}

/// Where a file comes from, as a group's name: `rack 3.0.8`, `stdlib`, `ruby` (core methods written in Ruby) or `app`.
#[must_use]
pub fn gem(path: &str) -> String {
    // `<internal:array>` is Ruby's own; RubyGems names its files `<internal:/usr/lib/…/kernel_require.rb>`.
    let path = match path.strip_prefix("<internal:") {
        Some(inner) if inner.contains('/') => inner,
        Some(_) => return "ruby".into(),
        None => path,
    };
    if let Some((_, rest)) = path.rsplit_once("/gems/")
        && let Some((folder, _)) = rest.split_once('/')
    {
        return named(folder);
    }
    if let Some((_, rest)) = path.split_once("/vendor_ruby/") {
        // Debian unpacks gems side by side, without versions: the first folder or file is the gem's.
        let name = rest.split('/').next().unwrap_or_default();
        return name.strip_suffix(".rb").unwrap_or(name).to_owned();
    }
    if is_stdlib(path) { "stdlib".into() } else { "app".into() }
}

/// `rack-3.0.8` as `rack 3.0.8`: the version starts at the last hyphen with a digit behind it, or is a Git revision.
fn named(folder: &str) -> String {
    let platform = ["-x86_64-linux", "-aarch64-linux", "-arm64-darwin", "-x86_64-darwin", "-java", "-x64-mingw"];
    let end = platform.iter().filter_map(|mark| folder.find(mark)).min().unwrap_or(folder.len());
    let is_version = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_digit())
            || text.len() >= 7 && text.bytes().all(|letter| letter.is_ascii_hexdigit())
    };
    match folder[..end].rsplit_once('-') {
        Some((name, version)) if is_version(version) => format!("{name} {version}"),
        _ => folder.to_owned(),
    }
}

/// Whether a folder of the path is `ruby/X.Y.Z` (`lib/ruby/3.3.0/json/common.rb`), or `ruby-X.Y.Z/lib` of one built in place.
fn is_stdlib(path: &str) -> bool {
    let mut folders = path.split('/').peekable();
    while let Some(folder) = folders.next() {
        let version = folders.peek().copied().unwrap_or_default();
        let digits = version.split('+').next().unwrap_or_default();
        if folder == "ruby" && digits.split('.').count() == 3 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{App, gem};

    fn below(paths: &[&str]) -> App {
        App::below(paths.iter().map(|path| (*path).to_owned()))
    }

    #[test]
    fn what_is_named_is_the_apps_and_nothing_else() {
        let app = below(&["/srv/app/", "/usr/local/bundle/gems/ours-1.0", "scripts"]);
        for (path, owner, is_app) in [
            ("/srv/app/models/user.rb", "app", true),
            ("/srv/app", "other", false),
            ("/srv/apples/user.rb", "other", false),
            ("/srv/app/vendor/bundle/ruby/3.3.0/gems/rack-3.0.8/lib/rack.rb", "rack 3.0.8", false),
            ("/usr/local/bundle/gems/ours-1.0/lib/ours.rb", "app", true),
            ("/usr/local/bundle/gems/rack-3.0.8/lib/rack.rb", "rack 3.0.8", false),
            ("scripts/run.rb", "app", true),
            ("/home/me/scripts/run.rb", "other", false),
            ("(eval at /srv/app/models/user.rb:3)", "app", true),
            ("<internal:array>", "ruby", false),
            ("", "other", false),
        ] {
            assert_eq!((app.owner(path).as_str(), app.is_app(path)), (owner, is_app), "{path}");
        }
    }

    #[test]
    fn without_a_name_all_is_the_apps_that_is_no_gems() {
        let app = App::default();
        for (path, is_app) in [
            ("/srv/app/models/user.rb", true),
            ("app.rb", true),
            ("-e", true),
            ("/srv/app/bin/rails", true),
            ("(eval at /srv/app/models/user.rb:3)", true),
            ("(eval)", false),
            ("(eval):3", false),
            ("(null)", false),
            ("", false),
            ("/usr/bin/puma", false),
            ("/usr/local/bundle/bin/puma", false),
            ("/srv/app/vendor/bundle/ruby/3.3.0/bin/puma", false),
            ("/usr/local/lib/ruby/3.3.0/timeout.rb", false),
            ("<internal:kernel>", false),
        ] {
            assert_eq!(app.is_app(path), is_app, "{path}");
        }
    }

    #[test]
    fn a_short_path_begins_behind_its_folder() {
        for (path, short) in [
            ("/usr/local/bundle/gems/json-2.6.1/lib/json/common.rb", "json/common.rb"),
            ("/usr/local/lib/ruby/3.3.0/json/common.rb", "json/common.rb"),
            ("/usr/lib/ruby/vendor_ruby/rack.rb", "rack.rb"),
            ("/opt/ruby/3.3.0/gems/a-1.0/b.rb", "b.rb"),
            ("/home/me/ruby/app.rb", "/home/me/ruby/app.rb"),
            ("/gems/", "/gems/"),
            ("<internal:array>", "<internal:array>"),
        ] {
            assert_eq!(App::default().short(path), short, "{path}");
        }
        assert_eq!(below(&["/srv", "/srv/app"]).short("/srv/app/models/user.rb"), "models/user.rb");
    }

    #[test]
    fn tells_gems_by_their_folders() {
        for (path, expected) in [
            ("/usr/local/bundle/gems/rack-3.0.8/lib/rack/request.rb", "rack 3.0.8"),
            ("/usr/local/bundle/gems/nokogiri-1.16.0-x86_64-linux/lib/nokogiri.rb", "nokogiri 1.16.0"),
            ("/opt/vendor/bundle/ruby/3.3.0/gems/net-http-persistent-4.0.2/lib/a.rb", "net-http-persistent 4.0.2"),
            (
                "/opt/vendor/bundle/ruby/3.3.0/bundler/gems/rails-0123456789ab/activerecord/lib/a.rb",
                "rails 0123456789ab",
            ),
            ("/srv/app/vendor/gems/internal/lib/a.rb", "internal"),
            ("/usr/share/rubygems-integration/all/gems/rubocop-1.39.0/lib/rubocop.rb", "rubocop 1.39.0"),
            ("/usr/lib/ruby/vendor_ruby/concurrent/map.rb", "concurrent"),
            ("/usr/lib/ruby/vendor_ruby/rack.rb", "rack"),
            ("/usr/local/lib/ruby/3.3.0/timeout.rb", "stdlib"),
            ("/usr/local/lib/ruby/3.5.0+1/timeout.rb", "stdlib"),
            ("<internal:array>", "ruby"),
            ("<internal:/usr/lib/ruby/vendor_ruby/rubygems/core_ext/kernel_require.rb>", "rubygems"),
            ("/srv/app/models/user.rb", "app"),
            ("/home/me/ruby/app.rb", "app"),
            ("(eval)", "app"),
            ("/gems/", "app"),
        ] {
            assert_eq!(gem(path), expected, "{path}");
        }
    }
}
