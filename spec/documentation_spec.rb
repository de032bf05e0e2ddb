# frozen_string_literal: true

require "rbs"
require "yard"

RSpec.describe "Every public method" do
  # Class methods and instance methods that Ruby knows, by class; what a class has from Ruby's own classes aside.
  def public_methods_of(constant)
    value = HeapInspector.const_get(constant)
    return { constant.to_s => [value.public_instance_methods(false).sort, value.singleton_methods(false).sort] } unless value.is_a?(Class)

    singleton = value.singleton_methods(false) - [:yaml_tag]
    { constant.to_s => [value.public_instance_methods(false).sort, singleton.sort] }
  end

  let(:known) do
    constants = HeapInspector.constants.reject { |name| HeapInspector.const_get(name).is_a?(String) }
    constants.map { |name| public_methods_of(name) }.reduce(:merge)
  end

  before(:all) do
    HeapInspector.analyze(Helpers::DUMP).then { |heap| [heap.summary, heap.generations, heap.duplicate_strings(limit: 1), heap.objects] }
  end

  it "has a comment with its result" do
    YARD::Registry.clear
    YARD::Logger.instance.enter_level(YARD::Logger::ERROR) do
      YARD.parse(["#{Helpers::ROOT}/lib/**/*.rb"])
    end
    known.each do |name, (instance, singleton)|
      (instance.map { |method| "HeapInspector::#{name}##{method}" } + singleton.map do |method|
                                                                        "HeapInspector::#{name}.#{method}"
                                                                      end).each do |path|
        next if path.end_with?("#each", ".members") && YARD::Registry.at(path)&.docstring

        object = YARD::Registry.at(path)
        expect(object&.docstring.to_s + object&.docstring&.tags.to_a.map(&:tag_name).join).not_to be_empty, "#{path} has no comment"
      end
    end
  end

  it "has a signature, and the signatures have no others" do
    loader = RBS::EnvironmentLoader.new.tap { |it| it.add(path: Pathname("#{Helpers::ROOT}/sig")) }
    environment = RBS::Environment.from_loader(loader).resolve_type_names
    known.each do |name, (instance, singleton)|
      type = RBS::TypeName.new(name: name.to_sym, namespace: RBS::Namespace.parse("::HeapInspector"))
      declared = environment.class_decls.fetch(type) { raise "#{name} has no signature" }.decls.flat_map { |entry| entry.decl.members }
      names = declared.filter_map do |member|
        case member
        when RBS::AST::Members::MethodDefinition, RBS::AST::Members::AttrReader then [member.kind, member.name]
        when RBS::AST::Members::Alias then [member.kind, member.new_name]
        end
      end
      signed = %i[instance singleton].map { |kind| names.select { |of, _| of == kind }.map(&:last).sort - [:initialize] }
      expect(signed).to eq([instance, singleton]), "#{name}: #{signed.inspect} for #{[instance, singleton].inspect}"
    end
  end
end
