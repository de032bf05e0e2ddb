//! The rules: what is expected to be alive, and what is stuck, its work being over. A rule is a thing that people know, by its class or
//! one that it descends from.

use super::Verdict;
use crate::patterns::{self, Patterns};
use crate::{Error, Result};
use std::path::Path;

/// What lives as long as a server does.
pub(super) const EXPECTED: [(&str, &str); 26] = [
    ("Puma::ThreadPool", "the server's thread pool"),
    ("Puma::Server", "the server"),
    ("Puma::Launcher", "the server"),
    ("Puma::Cluster", "the server"),
    ("Unicorn::HttpServer", "the server"),
    ("Sidekiq::Config", "the settings of Sidekiq"),
    ("Sidekiq::Manager", "Sidekiq's pool of workers"),
    ("Sidekiq::Processor", "one of Sidekiq's workers"),
    ("ConnectionPool", "a connection pool"),
    ("ActiveRecord::ConnectionAdapters::AbstractAdapter", "a connection to a database"),
    ("ActiveRecord::ConnectionAdapters::ConnectionPool", "a connection pool"),
    ("ActiveRecord::ConnectionAdapters::SchemaCache", "a cache that the framework keeps"),
    ("ActiveSupport::Cache::Store", "a cache that the framework keeps"),
    ("ActiveSupport::Notifications::Fanout", "the framework's list of subscribers"),
    ("ActionView::Resolver", "a cache that the framework keeps"),
    ("ActionDispatch::Routing::RouteSet", "the routes of the application"),
    ("ActionDispatch::MiddlewareStack", "the middleware of the application"),
    ("Rails::Railtie", "the application or a part of it"),
    ("I18n::Backend::Simple", "a cache that the framework keeps"),
    ("Concurrent::AbstractExecutorService", "a thread pool"),
    ("Sequel::Database", "a database with its connection pool"),
    ("Zeitwerk::Loader", "the loader of the code"),
    ("Bundler::Runtime", "what loaded the gems"),
    ("Gem::Specification", "a gem that is loaded"),
    ("Logger", "a logger"),
    ("Sinatra::Wrapper", "the application"),
];

/// What serves one piece of work, and should be gone when that is done; how it is called, and what several of it are called.
pub(super) const WORK: [(&str, Work); 13] = [
    ("AbstractController::Base", Work { one: "a controller", many: "controllers" }),
    ("ActionController::Metal", Work { one: "a controller", many: "controllers" }),
    ("ActionDispatch::Request", Work { one: "a request", many: "requests" }),
    ("Rack::Request", Work { one: "a request", many: "requests" }),
    ("Sinatra::Request", Work { one: "a request", many: "requests" }),
    ("ActionView::Base", Work { one: "a view", many: "views" }),
    ("ActiveJob::Base", Work { one: "a job", many: "jobs" }),
    ("Sidekiq::Job", Work { one: "a job", many: "jobs" }),
    ("Sidekiq::Worker", Work { one: "a job", many: "jobs" }),
    ("Que::Job", Work { one: "a job", many: "jobs" }),
    ("GoodJob::Job", Work { one: "a job", many: "jobs" }),
    ("ActionMailer::Base", Work { one: "a mailer", many: "mailers" }),
    ("Puma::Client", Work { one: "a request", many: "requests" }),
];

/// How keys of a request's environment begin, which are in no hash of settings.
pub(super) const ENVIRONMENT_KEYS: [&str; 6] =
    ["rack.", "puma.", "sinatra.", "action_dispatch.request.", "action_controller.instance", "REQUEST_"];

/// What servers and frameworks put into a request's environment, and nobody into another hash.
pub(super) const ENVIRONMENT_VALUES: [&str; 7] = [
    "Puma::Client",
    "Puma::NullIO",
    "Unicorn::TeeInput",
    "Unicorn::StreamInput",
    "ActionDispatch::Request::Session",
    "Rack::Session::Abstract::SessionHash",
    "Warden::Proxy",
];

/// What is at work on something while a thread serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Work {
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
}

/// What a user knows of an app's classes: a class, a verdict and a reason a line.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    classes: Patterns,
    verdict: Verdict,
    reason: String,
}

impl Rules {
    /// Reads a rule a line: a class or a pattern of classes, `expected` or `stuck`, and why. What stands behind ` #` is not read.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read, [`Error::Usage`] for a line that is no rule.
    pub fn read(path: &Path) -> Result<Rules> {
        let text = crate::source::text(path)?;
        Rules::of(&text, &path.display().to_string())
    }

    /// The rules in a text, a line each; errors name `place`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a line that is no rule.
    pub fn of(text: &str, place: &str) -> Result<Rules> {
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason: String| Error::usage(format!("{place}: line {}: {reason}", number + 1));
            let (class, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let (word, reason) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            let verdict = match word {
                "expected" => Verdict::Expected,
                "stuck" => Verdict::Stuck,
                _ => return Err(wrong(format!("{line:?} is not a rule: a class, then expected or stuck, then why"))),
            };
            let classes = patterns::compile([class], patterns::Options::default()).map_err(wrong)?;
            let reason = match reason.trim() {
                "" => format!("a rule says so of {class}"),
                reason => reason.to_owned(),
            };
            rules.push(Rule { classes, verdict, reason });
        }
        Ok(Rules(rules))
    }

    /// What the first rule says that names one of the classes.
    pub(super) fn of_classes<'c>(
        &self,
        classes: impl Iterator<Item = &'c String> + Clone,
    ) -> Option<(Verdict, String)> {
        let rule = self.0.iter().find(|rule| classes.clone().any(|class| rule.classes.is_match(class)))?;
        Some((rule.verdict, rule.reason.clone()))
    }
}
