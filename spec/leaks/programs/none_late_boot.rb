# frozen_string_literal: true

# No leak: between the first and the second dump an admin page is opened for the first time, and its code and data are loaded.
require_relative "../harness"

module Admin
  def self.open
    @open ||= class_eval(<<~RUBY, __FILE__, __LINE__ + 1)
      Column = Struct.new(:name, :type, :help)
      class Table
        COLUMNS = Array.new(400) { |i| Column.new("column \#{i}", :text, "help – for column \#{i} " * 4) }
        COLUMNS.first(40).each { |column| define_method(column.name.tr(" ", "_")) { column } }
      end
    RUBY
  end
end

no_leak { |n| Admin.open if n > 400 }
