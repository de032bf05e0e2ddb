# frozen_string_literal: true

require_relative "living"

# What the memory check reads, in trees of files as kernels and containers have them.
RSpec.describe "HeapInspector::ProcFs" do
  include_context "with living processes"

  let(:proc_fs) { HeapInspector.send(:const_get, :ProcFs) }
  let(:mebibyte) { 1 << 20 }

  def group(path, files)
    FileUtils.mkdir_p(File.join(folder, path))
    files.each { |name, value| File.write(File.join(folder, path, name), "#{value}\n") }
  end

  def rooms(cgroups)
    proc_fs.cgroup_rooms(cgroups, folder)
  end

  it "takes the room in a cgroup of version 2 and in those around it, the cache of files aside" do
    group("app/web", "memory.max" => 512 << 20, "memory.current" => 400 << 20, "memory.stat" => "anon 5\ninactive_file #{100 << 20}")
    group("app", "memory.max" => 300 << 20, "memory.current" => 290 << 20, "memory.stat" => "inactive_file 0")
    group("", "memory.stat" => "inactive_file 7") # the root has no limit
    expect(rooms("0::/app/web\n")).to eq [212 * mebibyte, 10 * mebibyte]
  end

  it "takes no room where a cgroup says max, and none below nothing" do
    group("free", "memory.max" => "max", "memory.current" => 1)
    expect(rooms("0::/free\n")).to eq []
    group("over", "memory.max" => 10, "memory.current" => 20)
    expect(rooms("0::/over\n")).to eq [0]
  end

  it "takes the room in cgroups of version 1, whose files have other names" do
    files = { "memory.limit_in_bytes" => 64 << 20, "memory.usage_in_bytes" => 60 << 20, "memory.stat" => "total_inactive_file #{1 << 20}" }
    group("memory/docker/abc", files)
    group("memory", "memory.limit_in_bytes" => 9_223_372_036_854_771_712, "memory.usage_in_bytes" => 1)
    expect(rooms("12:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/y\n")).to eq [5 * mebibyte]
  end

  it "takes the room that swap leaves in a cgroup of version 1, where that is limited with memory" do
    files = { "memory.limit_in_bytes" => 64 << 20, "memory.usage_in_bytes" => 30 << 20, "memory.memsw.limit_in_bytes" => 70 << 20,
              "memory.memsw.usage_in_bytes" => 69 << 20, "memory.stat" => "total_inactive_file 0" }
    group("memory/docker/abc", files)
    expect(rooms("4:memory:/docker/abc\n")).to eq [34 * mebibyte, 1 * mebibyte]
    expect(proc_fs.cgroup_share("4:memory:/docker/abc\n", folder)).to be_within(0.001).of(69 / 70.0)
  end

  it "takes in a container what is mounted there, whatever the path says" do
    group("", "memory.max" => 100 << 20, "memory.current" => 30 << 20)
    expect(rooms("0::/../../kubepods/pod1/abc\n")).to eq [70 * mebibyte]
    expect(rooms("broken\n\n0::\n")).to eq [70 * mebibyte]
  end

  it "has this host's memory, and the process's own sizes" do
    expect(proc_fs.available_memory).to be > mebibyte
    expect(proc_fs.status(Process.pid)).to include("PPid" => Process.ppid, "VmRSS" => be > mebibyte)
    expect(proc_fs.status(1 << 30)).to eq({})
    expect(proc_fs.own_pid(Process.pid)).to eq Process.pid
  end
end
