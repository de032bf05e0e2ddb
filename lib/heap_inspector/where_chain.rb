# frozen_string_literal: true

module HeapInspector
  # What follows {Relation#where} without conditions.
  class WhereChain
    # @api private
    def initialize(relation)
      @relation = relation
      freeze
    end

    # @param conditions [Hash] see {Relation#where}
    # @return [Relation] the objects of which nothing of this is so
    # @raise (see Relation#where)
    def not(conditions, &)
      @relation.not(conditions, &)
    end
  end
end
