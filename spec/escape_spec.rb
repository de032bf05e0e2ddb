# frozen_string_literal: true

module HeapInspector
  RSpec.describe Escape do
    it "writes out each character of a hostile property, and no other" do
      ruby = (0..0x10ffff).grep_v(0xd800..0xdfff)
      hostile = ruby.reject { |code| Escape.terminal([code].pack("U")) == [code].pack("U") }
      expected = ruby.select { |code| [code].pack("U").match?(/\p{C}|[\p{Zl}\p{Zp}]|\p{Default_Ignorable_Code_Point}/) }
      expect(hostile).to eq expected
      expect(hostile).to include(0x202e, 0x2066, 0x200b, 0xfeff, 0x1bca0, 0x1d173, 0x7f, 0x85, 0xe000, 0x378, 0x2028)
    end

    it "takes bytes in any encoding" do
      expect(Escape.terminal("Größe\xff".b)).to eq "Größe?"
      expect(Escape.terminal("Gr\xf6\xdfe".dup.force_encoding("ISO-8859-1"))).to eq "Größe"
      expect(Escape.terminal("a\tb\r\nc\e")).to eq 'a\tb\r\nc\e'
    end

    it "writes out all that the reading half does, and in the same way" do
      HeapInspector.analyze(Helpers::DUMP, index: false) # loads it
      texts = (0..0x10ffff).grep_v(0xd800..0xdfff).map { |code| [code].pack("U") }
      written = texts.reject { |text| Native.escape(text) == text }
      expect(written.size).to be > 100
      # What a later Unicode assigned is unassigned to the older of the two.
      expect(written.reject { |text| Native.escape(text) == Escape.terminal(text) }).to be_empty
    end
  end
end
