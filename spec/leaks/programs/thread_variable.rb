# frozen_string_literal: true

# The same with a variable of the thread, in the app's main thread.
require_relative "../harness"

Notice = Struct.new(:text, :level)

class Notices
  def self.add(text)
    list = Thread.current.thread_variable_get(:notices) || Thread.current.thread_variable_set(:notices, [])
    list << Notice.new("#{text} – shown to nobody, for the page that shows notices was removed last year", :info) # LEAK
  end
end

leak(holder: "Thread", leaked: "Notice") { |n| Notices.add("saved order #{n}") }
