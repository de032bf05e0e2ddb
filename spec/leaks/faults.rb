# frozen_string_literal: true

require "json"

module Leaks
  # The reference that each program should have cut, for each of its leaks, as Ruby's own dumps tell it: by classes, `[…]` for any place
  # in a list. Several where it may be any of them, none where a root itself holds what leaks.
  FAULTS = {
    active_record: [["Array […] → Proc"]],
    at_exit_blocks: [[]],
    blocked_threads: [["Ractor → Thread"]],
    callback_chain: [["Filters constant or variable → Proc"]],
    class_ivar_memo: [["Hash […] → Quote"]],
    class_per_request: [["Array […] → (anonymous class)"]],
    closure_callbacks: [["Array […] → Proc"]],
    compiled_templates: [["Template method → (ment)"]],
    constant_array: [["Array […] → Audit::Event"]],
    default_proc_hash: [["Hash […] → String"]],
    define_method_per_request: [["Feature method → (ment)"]],
    enumerators: [["Hash […] → Enumerator"]],
    fiber_local: [["Array […] → Breadcrumb"]],
    finalizers: [[]],
    forgotten_index: [["Array […] → Store::Entry"]],
    frozen_copies: [["Feed constant or variable → Array"]],
    global_variable: [["Array […] → Search"]],
    growing_set: [["Hash […] → Visitor"]],
    instance_variables: [["Context instance variable → Profile"]],
    integer_counters: [["Visits constant or variable → Hash"]],
    kept_errors: [["Array […] → PaymentError"]],
    linked_list_head: [["Undo constant or variable → Undo::Step"]],
    linked_list_tail: [["Journal::Entry member → Journal::Entry"]],
    longer_string: [["Report constant or variable → String"]],
    lru_beside_leak: [["Array […] → Visit"]],
    memo_by_object: [["Hash […] → Invoice"]],
    method_callbacks: [["Array […] → Method"]],
    nested_constant: [["Array […] → Shop::Billing::Ledger::Posting"]],
    observer_list: [["Hash […] → StockView"]],
    open_streams: [["Array […] → IO"]],
    per_tenant_history: [["Array […] → Tenant::Change"]],
    records_in_closures: [["Array […] → Proc"]],
    service_object: [["Hash […] → Session"]],
    singleton_methods: [["Hash […] → Plugin"]],
    slow_consumer: [["Array […] → Array"]],
    slow_leak_beside_lru: [["Array […] → Alerts::Alert"]],
    string_buffer: [["RequestLog constant or variable → StringIO", "StringIO → String"]],
    string_keys: [["Hash […] → String"]],
    suspended_fibers: [["Array […] → Fiber"]],
    thread_variable: [["Array […] → Notice"]],
    two_leaks: [["Array […] → Mail"], ["Array […] → Metrics::Sample"]],
    weak_map_misuse: [["Array […] → Image"]]
  }.freeze

  # Where it is another from Ruby 3.2 on, whose dumps name instance variables.
  NAMED_FAULTS = {
    instance_variables: [[/\AContext @profile_\d+ → Profile\z/]],
    # By the newest entry that is not at the address of an old one.
    linked_list_tail: [[/\AJournal(?: @last|::Entry member) → Journal::Entry\z/]]
  }.freeze

  # The fingerprints of each program's leaks, one table for every Ruby; `rake leaks:table` writes it.
  FINGERPRINTS = File.join(__dir__, "fingerprints.json")

  # @return [Hash{String => Array<String>}] by the program's name
  def self.fingerprints = JSON.parse(File.read(FINGERPRINTS))

  # @param program [String] its name
  # @return [Array<Array<String, Regexp>>] the faulty references of its leaks
  def self.faults(program)
    names = RUBY_VERSION >= "3.2" ? FAULTS.merge(NAMED_FAULTS) : FAULTS
    names.fetch(program.to_sym)
  end
end
