data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

# Who may use the key is said by policies of roles, as for every other resource of an account: a key
# policy is about this one key alone, which "*" stands for, and the account must be able to keep it.
data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_109: the resource of a key policy is the key that it belongs to
  #checkov:skip=CKV_AWS_111: the resource of a key policy is the key that it belongs to
  #checkov:skip=CKV_AWS_356: the resource of a key policy is the key that it belongs to
  source_policy_documents = var.statements

  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:root"]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.this.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
