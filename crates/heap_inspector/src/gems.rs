//! Which gem a file belongs to, told by its path alone.
//!
//! Sources: the folder names of RubyGems (`…/gems/NAME-VERSION/`), Bundler (`…/bundler/gems/NAME-REVISION/`), Debian's packages
//! (`/usr/share/rubygems-integration/…`, `/usr/lib/ruby/vendor_ruby`) and of an installed Ruby (`…/lib/ruby/3.3.0/`).

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
    use super::gem;

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
