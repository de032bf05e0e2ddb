# frozen_string_literal: true

module HeapInspector
  RSpec.describe ProcessTable do
    def process(pid, command)
      Processes::Process.new(pid: pid, parent: 1, uid: Process.euid, role: "worker", server: "puma", worker: pid % 10, rss: 144 << 20,
                             pss: 99 << 20, socket: "/run/#{pid}.sock", command: command)
    end

    def table(since)
      processes = [process(20_320, "puma: cluster worker 0: 1 [a shop of some size]"), process(20_321, "puma: \u{202e}1")]
      status = { "tracing" => true, "tracing_since" => since.to_i, "worker" => nil }
      allow(Client).to receive(:statuses).and_return(20_320 => status, 20_321 => AgentError.new("silent"))
      described_class.new(processes)
    end

    it "keeps within a terminal of 80 columns, and cuts commands first" do
      now = Time.now.utc
      shown = table(now).text(80)
      expect(shown.lines(chomp: true).map(&:length).max).to be <= 80
      expect(shown).to match(/^20320  puma worker 0  144 MiB  99 MiB  armed   on since #{now.strftime("%H:%M")}Z  puma: cluster w/)
      expect(shown).to match(/^20321  puma worker 1  144 MiB  99 MiB  silent  - +puma: \\u\{202e\}1$/)
      expect(table(Time.utc(2026, 1, 2)).text(80)).to match(/  on since 2026-01-02  puma: /)
      expect(table(now).text(120)).to include("on since #{now.strftime("%FT%TZ")}  puma: cluster worker 0")
      expect(table(now).text).to include("on since #{now.strftime("%FT%TZ")}  puma: cluster worker 0: 1 [a shop of some size]\n")
    end
  end
end
