# frozen_string_literal: true

namespace :live do
  desc "Prove what dumping living workers promises: 20 dumps in each state of a server, and the table of stalls (some minutes)"
  task proof: :compile do
    sh({ "LIVE_ROUNDS" => "20" }, "rspec", "spec/live")
    ruby "bench/live.rb"
  end
end
