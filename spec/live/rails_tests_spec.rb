# frozen_string_literal: true

require_relative "living"

# Tests of an app as Rails runs them: each in a transaction that is rolled back, several at once in processes or threads.
RSpec.describe "Assertions in Rails' tests" do
  include_context "with living processes"
  include_context "with our tracer"

  before { need("active_record", "sqlite3") }

  # Eight healthy tests and one whose records are kept; what was printed, and how many rows the database has at the end.
  def outcome(settings)
    File.write(File.join(folder, "order_test.rb"), <<~RUBY)
      require "active_record"
      require "active_support/test_case"
      require "active_support/testing/autorun"
      require "active_record/fixtures"
      require "heap_inspector/minitest"

      def connect(name)
        ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: name, timeout: 30_000, pool: 10)
        ActiveRecord::Schema.verbose = false
        ActiveRecord::Schema.define { create_table(:orders, force: true) { |table| table.string :name } }
      end

      connect("test.sqlite3")
      class Order < ActiveRecord::Base; end

      class OrderTest < ActiveSupport::TestCase
        include ActiveRecord::TestFixtures
        KEPT = []
        #{settings}

        8.times do |number|
          test("is healthy \#{number}") { assert_retains_no(Order) { Order.create!(name: "x"); Order.where(name: "x").to_a } }
        end
        test("leaks") { assert_retains_no(Order) { KEPT << Order.create!(name: "x") } }
      end
      Minitest.after_run { puts "rows: \#{Order.count}" }
    RUBY
    # Else Rails makes one worker only for so few tests.
    env = environment.merge("PARALLEL_WORKERS" => "2")
    out, = Open3.capture2e(env, RbConfig.ruby, "-I#{Living::LIB}", "order_test.rb", chdir: folder)
    [out, out[/^rows: (\d+)$/, 1].to_i]
  end

  # The same of RSpec: hooks as rspec-rails has them put each example, and each further run of it, into a transaction.
  def rspec_outcome(*words)
    File.write(File.join(folder, "order_spec.rb"), <<~RUBY)
      require "active_record"
      require "active_support/test_case"
      require "active_record/fixtures"
      require "heap_inspector/rspec"

      ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: "test.sqlite3", timeout: 30_000, pool: 10)
      ActiveRecord::Schema.verbose = false
      ActiveRecord::Schema.define { create_table(:orders, force: true) { |table| table.string :name } }
      class Order < ActiveRecord::Base; end

      module Transactions
        extend ActiveSupport::Concern
        include ActiveRecord::TestFixtures

        included do
          self.use_transactional_tests = true
          before { setup_fixtures }
          after { teardown_fixtures }
        end

        def name = "example"
        def method_name = name
      end

      KEPT = []
      RSpec.describe "orders", retains: 0 do
        include Transactions
        before { expect(Order.count).to eq 0 }
        8.times { |number| it("is healthy \#{number}") { Order.create!(name: "x"); expect(Order.where(name: "x").to_a.size).to eq 1 } }
        it("leaks") { KEPT << Order.create!(name: "x") }
      end
      RSpec.configure { |config| config.after(:suite) { puts "rows: \#{Order.count}" } }
    RUBY
    out, = Open3.capture2e(environment, "rspec", "-I", Living::LIB, *words, "order_spec.rb", chdir: folder)
    out
  end

  told = /^expected the block to retain no objects of Order a run, but it retains 1\n {2}4 in 4 runs: Order allocated at order_test\.rb:\d+/

  it "tell what is kept in transactions that are rolled back" do
    out, rows = outcome("self.use_transactional_tests = true")
    expect(out).to match(/^9 runs, 9 assertions, 1 failures, 0 errors/).and match(told)
    expect(rows).to eq 0
  end

  ["--order defined", "--order random", "--fail-fast --order defined"].each do |words|
    it "tell which of RSpec's examples keeps something in such a transaction, with #{words}" do
      out = rspec_outcome(*words.split)
      expect(out).to include("9 examples, 1 failure\n", "expected the example to retain no objects a run, but it retains ", "rows: 0\n")
      expect(out).to match(/^rspec \S+ # orders leaks$/).and match(/-> Order  <- may be the faulty reference$/)
    end
  end

  it "tell it in processes that run at once" do
    out, = outcome(<<~'RUBY')
      self.use_transactional_tests = true
      parallelize(workers: 2)
      parallelize_setup { |number| connect("#{number}.sqlite3") }
    RUBY
    expect(out).to match(/^9 runs, 9 assertions, 1 failures, 0 errors/).and match(told)
  end

  it "tell it in threads that run at once" do
    out, rows = outcome("self.use_transactional_tests = false; parallelize(workers: 2, with: :threads)")
    expect(out).to match(/^9 runs, 9 assertions, 1 failures, 0 errors/).and match(told)
    expect(rows).to be >= 9
  end
end
