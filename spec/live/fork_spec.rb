# frozen_string_literal: true

require_relative "living"

# Issue 13: an armed process forks as any other.
RSpec.describe HeapInspector, "and forks of the app" do
  include_context "with living processes"

  let(:run) { File.join(folder, "run") }

  def armed?(pid)
    UNIXSocket.open(Dir.glob(File.join(run, "#{pid}-*.sock")).first.to_s) do |connection|
      connection.write("{\"verb\":\"status\"}\n")
      connection.wait_readable(10) && JSON.parse(connection.readline).fetch("ok")
    end
  rescue SystemCallError
    nil
  end

  habits = {
    "armed" => "HeapInspector.arm", "watched" => "HeapInspector.dump_above('1TB')",
    "both" => "HeapInspector.arm; HeapInspector.dump_above('1TB')",
    "traced" => "HeapInspector.trace_object_allocations_start(one_per_host: true)"
  }.freeze

  habits.each do |name, code|
    it "forks inside of a trap when it is #{name}" do
      process = living(<<~RUBY)
        #{code}
        trap("USR1") do
          child = fork { $stdout.syswrite("child\\n"); gets }
          $stdout.syswrite("\#{child}\\n")
        rescue Exception => e
          $stdout.syswrite("\#{e.class} in \#{Process.pid}\\n")
        end
        puts "up"
        gets
      RUBY
      process.line(/up/)
      process.kill(:USR1)
      lines = Array.new(2) { process.line }
      expect(lines).to contain_exactly("child", /\A\d+\z/)
      child = Integer(lines.grep(/\d/).first)
      eventually { armed?(child) } if code.include?("arm;") || code.end_with?("arm")
    end

    it "forks where no thread can be made when it is #{name}" do
      process = living(<<~RUBY)
        #{code}
        Thread.singleton_class.prepend(Module.new { def new(*) = raise(ThreadError, "can't create Thread: Resource temporarily unavailable") })
        begin
          child = fork { puts "child" }
          Process.wait(child)
          puts "parent \#{$?.exitstatus}"
        rescue Exception => e
          puts "\#{e.class} in \#{Process.pid}"
        end
      RUBY
      expect([process.line, process.line]).to eq ["child", "parent 0"]
      expect(process.wait).to be_success
    end
  end

  it "takes no longer the more sockets there are: a fork looks at none" do
    process = living(<<~RUBY)
      require "socket"
      HeapInspector.arm
      50.times { |number| UNIXServer.new(File.join(#{run.inspect}, "\#{number + 1}-1.sock")).close }
      looks = 0
      [Dir.singleton_class, Socket.singleton_class, File.singleton_class, UNIXServer.singleton_class].each do |type|
        counts = %i[each_child children open new unlink lstat socket? binread].select { |name| type.method_defined?(name) }
        type.prepend(Module.new do
          counts.each { |name| define_method(name) { |*words, &block| looks += 1 if Thread.current == Thread.main; super(*words, &block) } }
        end)
      end
      child = fork { puts "looked \#{looks}"; gets }
      puts child
      gets
    RUBY
    lines = [process.line, process.line]
    expect(lines).to include("looked 0")
    child = Integer(lines.grep(/\A\d/).first)
    eventually { armed?(child) }
  end

  it "lets no short-lived child take its parent's socket away" do
    process = living("HeapInspector.arm\n20.times { Process.wait(fork { exit }) }\nputs 'up'\ngets")
    process.line(/up/)
    expect(armed?(process.pid)).to be_truthy
  end

  it "is armed again as a daemon, as the worker that it was, and its old socket is gone" do
    process = living(<<~RUBY)
      HeapInspector.arm(worker: 3)
      puts Process.pid
      Process.daemon(true, true)
      puts Process.pid
      [$stdout, $stderr].each { |io| io.reopen(File::NULL) }
      sleep
    RUBY
    old, daemon = Array.new(2) { Integer(process.line) }
    process.wait
    expect(daemon).not_to eq old
    status = eventually { armed?(daemon) }
    expect(status).to include("pid" => daemon, "worker" => 3, "daemon" => true)
    eventually { Dir.children(run).grep(/\.sock\z/).size == 1 }
    expect(command("ps").first).to match(/^ *#{daemon} .* armed again /)
    expect(command("dump", daemon.to_s, "-o", File.join(folder, "heap.json.zst")).last).to eq 0
  ensure
    Process.kill(:KILL, daemon) if daemon
  end
end
