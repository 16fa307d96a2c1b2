variable "name" {
  type        = string
  description = "Begins the names of the secrets."
}

variable "secrets" {
  type        = map(string)
  description = "What each secret is, by its name. Values are put in by an operator and never pass through here."

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "The name of a secret has small letters, digits and hyphens."
  }
}

variable "recovery_days" {
  type        = number
  default     = 30
  description = "For how long a deleted secret can be had back; 0 deletes at once."

  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "Give 0, or 7 to 30 days."
  }
}
