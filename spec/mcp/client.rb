# frozen_string_literal: true

# The protocol's own client, which bin/setup --test installs.
module McpClient
  PYTHON = File.join(__dir__, "env/bin/python")
  BINARY = File.join(Helpers::ROOT, "target/release/heap_inspector")
  COMMAND = [BINARY, "mcp"].freeze

  # Why it cannot be asked, or nil.
  def self.missing
    return "spec/mcp/env is missing: bin/setup --test" unless File.executable?(PYTHON)

    "#{BINARY} is not built" unless File.executable?(BINARY)
  end

  # The answers of one server to calls, [method, name, arguments] each; of each call a list, longer where cursors were followed.
  def self.answers(calls, command: COMMAND)
    out, err, status = Open3.capture3(PYTHON, File.join(__dir__, "client.py"), stdin_data: JSON.generate([{ command:, calls: }]))
    raise "client.py: #{err}" unless status.success?

    JSON.parse(out).first
  end

  # The text of a tool's answer.
  def self.text(answer) = answer.fetch("content").map { |content| content.fetch("text") }.join

  # Tokens of a text at the most; see crates/heap_inspector_cli/src/mcp/bounded.rs.
  def self.tokens(text) = (text.bytesize / 2.0).ceil
end
