# frozen_string_literal: true

require_relative "living"

# Leaks whose objects a gem allocates on the app's behalf: samples at the default rate name the app's own line.
RSpec.describe "suspects of sampled dumps" do
  include_context "with living processes"
  include_context "with our tracer"

  # What is required, how often a step leaks, what the app has, what it keeps (at the line LEAK), the classes that may be named.
  programs = {
    "JSON" => ["json", 200, "TEXT = JSON.generate([{ id: 1, tags: %w[a b] }] * 20)", "JSON.parse(TEXT)", %w[Hash String Array]],
    "Set" => ["set", 1500, "", "Set.new([Object.new, Object.new, Object.new])", %w[Set Hash Object]],
    "CSV" => ["csv", 150, 'TEXT = "a,b,c\n" * 20', "CSV.parse(TEXT)", %w[Array String]],
    "ERB" => ["erb", 2000, "", "ERB.new('<%= 1 %>' * 5)", %w[ERB String Array]],
    "YAML" => ["yaml", 100, "TEXT = YAML.dump(Array.new(10) { |number| { id: number, tags: %w[a b] } })", "YAML.unsafe_load(TEXT)",
               %w[Hash String Array]],
    "ActiveRecord" => ["active_record", 60, <<~RUBY, "Row.all.to_a", nil]
      ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: ":memory:")
      ActiveRecord::Base.connection.create_table(:rows) { |table| table.string :name }
      class Row < ActiveRecord::Base; end
      20.times { |number| Row.create!(name: "row \#{number}") }
    RUBY
  }

  programs.each do |name, (library, count, setup, leak, classes)|
    it "name the app's line of #{name}" do
      path = File.join(folder, "app.rb")
      File.write(path, <<~RUBY)
        require #{library.inspect}
        #{setup}
        module Keeper
          KEPT = []
          def self.work
            KEPT << (#{leak}) # LEAK
          end
        end
        #{count / 2}.times { Keeper.work }
        HeapInspector.trace_object_allocations_start(mode: :sampled)
        %w[a b c].each do |dump|
          #{count}.times { Keeper.work }
          GC.start
          HeapInspector.dump(File.join(#{folder.inspect}, dump + ".json.zst"))
        end
      RUBY
      process = living("load #{path.inspect}")
      status = process.wait
      said = process.rest
      skip "#{library} is missing" if said.match?(/cannot load such file|LoadError/)
      expect(status).to be_success, said
      dumps = %w[a b c].map { |dump| File.join(folder, "#{dump}.json.zst") }
      suspect = HeapInspector.diff(*dumps).suspects.first
      line = File.readlines(path).index { |text| text.include?("# LEAK") } + 1
      expect(suspect.holder).to eq "Keeper::KEPT"
      expect(classes).to include(suspect.class_name) if classes
      # The parser of newer versions of CSV runs in a fiber of its own, whose stack ends in the gem.
      next expect(suspect.location).to match(%r{/csv(?:/parser)?\.rb:\d+\z}) if name == "CSV" && RUBY_VERSION >= "3.3"

      expect([suspect.location, suspect.app_location].compact).to include("#{path}:#{line}")
    end
  end
end
