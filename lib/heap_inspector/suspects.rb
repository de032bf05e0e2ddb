# frozen_string_literal: true

module HeapInspector
  # What is thought of a step of a path.
  class StepVerdict < Value
    # @!attribute [r] verdict
    #   @return [Symbol] `:expected` to be alive, `:stuck` as its work is over, or `:unknown`
    # @!attribute [r] reason
    #   @return [String] why, in words; empty where nothing is known
    # @!attribute [r] fault
    #   @return [Symbol, nil] `:faulty` where the reference to it should have been cut, `:candidate` where it may be that one
    fields :verdict, :reason, :fault

    # @return [String]
    def to_s
      Native.escape(reason.empty? ? verdict.to_s : "#{verdict}: #{reason}")
    end
  end

  # What else holds objects of which a reference is cut.
  class OtherHolder < Value
    # @!attribute [r] holder
    #   @return [String] whom to ask: the nearest class, module, thread or object of the app on the way, or the root
    # @!attribute [r] holder_object
    #   @return [HeapObject, nil] that class, module, thread or object; nil where it is a root
    # @!attribute [r] reference
    #   @return [String, nil] the reference by which it holds them, as `"Hash […] → Order"`; nil where a root refers to them
    # @!attribute [r] count
    #   @return [Integer] how many of the objects it holds
    # @!attribute [r] referrer_count
    #   @return [Integer] how many objects, or roots, refer to them so
    fields :holder, :holder_object, :reference, :count, :referrer_count

    # @api private
    # @param found [Hash{Symbol => Object}] some of them, and how many more there are
    # @return [Array<OtherHolder>]
    def self.all(found)
      found.fetch(:named).map { |one| of(one, holder_object: one[:holder_id]) }.freeze
    end

    # @return [String]
    def to_s
      Native.escape(reference ? "#{holder} (#{reference})" : holder)
    end
  end

  # An accumulation point, which takes in objects and keeps them.
  class Suspect < Value
    # @!attribute [r] headline
    #   @return [String] it in a line
    # @!attribute [r] fingerprint
    #   @return [String] the leak's short name, the same in each of its dumps: `"leak-3f9a1c"`
    # @!attribute [r] normalised_path
    #   @return [Array<String>] what it is made of: the classes from the holder to what piles up, without anything that another process
    #     or another dump of the leak has otherwise
    # @!attribute [r] accumulation_point_count
    #   @return [Integer] how many accumulation points are one by their normalised path
    # @!attribute [r] freed_memsize
    #   @return [Integer, nil] the bytes that would be freed if {#object} did not refer to what piles up in it; nil where it grows itself
    # @!attribute [r] kept_count
    #   @return [Integer, nil] how many of the objects would stay all the same, as something else holds them, too
    # @!attribute [r] also_held_by
    #   @return [Array<OtherHolder>] what that is, what holds the most of them first: three at most, {#also_held_by_more} counts the rest
    # @!attribute [r] also_held_by_more
    #   @return [Integer] how many more hold them
    # @!attribute [r] known
    #   @return [Boolean, nil] whether `known:` has the fingerprint; nil where that was not given
    # @!attribute [r] verdicts
    #   @return [Array<StepVerdict>] what is thought of each step of {#path}
    # @!attribute [r] faulty_references
    #   @return [Array<String>] the reference that should have been cut, as `"Array […] → Order"`; several where it may be any of them
    # @!attribute [r] object
    #   @return [HeapObject, nil] where the objects pile up: the array, hash, string, ... that takes them in; nil where a root itself does
    # @!attribute [r] holder
    #   @return [String] whom to ask: the class, module or thread of the app that holds {#object}, else that of a gem, what Ruby itself
    #     holds it in (`"the symbol table"`), or the root
    # @!attribute [r] holder_object
    #   @return [HeapObject, nil] that class, module or thread; nil where it is a root
    # @!attribute [r] label
    #   @return [String] {#object} in a few words
    # @!attribute [r] class_name
    #   @return [String] the class of the objects that pile up
    # @!attribute [r] count
    #   @return [Integer] how many of them came and stayed; of one dump how many there are; of an object that itself grows 1
    # @!attribute [r] memsize
    #   @return [Integer] the bytes that came and stayed, of all that the objects hold; of one dump what they hold in all
    # @!attribute [r] steps
    #   @return [Array<Integer>] the bytes that came between each two dumps; none of one dump
    # @!attribute [r] location
    #   @return [String, nil] where the objects were allocated, as `"app/models/user.rb:12"`
    # @!attribute [r] app_location
    #   @return [String, nil] where {#location} is no line of the app: the line of the app that allocated most of what came with them,
    #     or else made what takes them in
    # @!attribute [r] mostly
    #   @return [String, nil] what takes most of the bytes, as `"666 × ProductsController"`, where that is not what {#object} itself holds
    # @!attribute [r] since
    #   @return [Integer, nil] the generation of the first of them
    # @!attribute [r] known_leak
    #   @return [String, nil] where it is a known leak of a gem: the gem, its versions, what to do, and a link
    # @!attribute [r] rate
    #   @return [WorkRate, nil] growth for each request, or what else it goes with; nil where the dumps do not tell of work
    # @!attribute [r] path
    #   @return [Array<Step>] the chain of references from what a root refers to down to {#object}, and on to one of those that pile up
    #     in it; of what lies deep in a list those steps that a report shows, a hundred at most
    # @!attribute [r] confidence
    #   @return [Symbol] how far to believe it: `:high`, `:medium` or `:low`
    # @!attribute [r] reasons
    #   @return [Array<String>] why
    # @!attribute [r] next
    #   @return [String, nil] the command that goes on from here
    fields :headline, :fingerprint, :normalised_path, :accumulation_point_count, :freed_memsize, :kept_count, :also_held_by,
           :also_held_by_more, :known, :verdicts, :faulty_references, :object, :holder, :holder_object, :label, :class_name, :count,
           :memsize, :steps, :location, :app_location, :mostly, :since, :known_leak, :rate, :path, :confidence, :reasons, :next

    # @return [String] the headline; control characters of the dump are escaped
    def to_s
      Native.escape(headline)
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{self}, confidence #{confidence}>"
    end
  end

  # What looks like a leak, the most suspect first. An Enumerable of {Suspect}, perhaps empty. An answer of {Diff#suspects} and
  # {Heap#suspects}.
  #
  # @example
  #   case diff.suspects.first
  #   in { holder:, class_name:, location:, confidence: :high } then puts "#{holder} keeps every #{class_name} of #{location}"
  #   end
  class Suspects < Rows
    # @api private
    def self.of(heaps, matches, limit:, except:, rules:, known:)
      said = [Where.lines(:except, except, "patterns"), Where.lines(:rules, rules, "rules"), Where.lines(:known, known, "fingerprints")]
      new(heaps.size, Native.suspects(heaps, matches, Where.limit(limit), *said))
    end

    # @api private
    def initialize(dumps, answer)
      super()
      @dumps = dumps
      @document = answer[:document]
      @suspects = answer[:rows].map { |row| suspect(row[:suspect], row) }.freeze
      freeze
    end

    private

    def rows
      @suspects
    end

    def suspect(found, made)
      Suspect.of(found, **made.slice(:headline, :fingerprint, :next),
                 **freed(found[:freed]),
                 known: found[:is_known], verdicts: found[:judged].map { |judged| StepVerdict.of(judged) }.freeze,
                 object: found[:id], holder_object: found[:holder_id], class_name: found[:class],
                 path: Step.chain(found[:path]), rate: WorkRate.unless_none(found[:rate]))
    end

    def freed(freed)
      others = freed ? freed[:others] : { named: [], more: 0 }
      { freed_memsize: freed&.fetch(:memsize), kept_count: freed&.fetch(:kept), also_held_by: OtherHolder.all(others),
        also_held_by_more: others[:more] }
    end

    def about
      found = empty? ? "none" : "#{first}#{"; and #{size - 1} more" if size > 1}"
      "of #{@dumps} #{@dumps == 1 ? "dump" : "dumps"}: #{found}"
    end
  end
end
