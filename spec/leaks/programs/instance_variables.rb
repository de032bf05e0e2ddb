# frozen_string_literal: true

# A long-lived object gets an instance variable for each user.
require_relative "../harness"

class Profile
  def initialize(user)
    @name = "user number #{user}"
    @groups = ["everyone", "group #{user % 10}"]
  end
end

class Context
  def profile(user)
    variable = "@profile_#{user}"
    instance_variable_get(variable) || instance_variable_set(variable, Profile.new(user)) # LEAK
  end

  CURRENT = new
end

leak(holder: "Context", leaked: "Profile") { |n| Context::CURRENT.profile(n) }
