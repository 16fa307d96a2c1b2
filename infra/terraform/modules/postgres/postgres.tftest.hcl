mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "perdure-test-cell-1"
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  database    = { instance_class = "db.r7g.large" }
  log_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "a_database_is_safe_unless_told_otherwise" {
  assert {
    condition     = aws_rds_cluster.this.storage_encrypted && aws_rds_cluster.this.deletion_protection
    error_message = "A database must be encrypted, and not deleted by mistake."
  }

  assert {
    condition     = aws_rds_cluster.this.backup_retention_period == 35 && length(aws_rds_cluster_instance.this) == 2
    error_message = "A database must have backups, and somebody to take over."
  }

  assert {
    condition     = aws_rds_cluster.this.manage_master_user_password && aws_rds_cluster.this.master_password == null
    error_message = "The administrator's password is Aurora's business alone."
  }

  assert {
    condition     = one([for it in aws_rds_cluster_parameter_group.this.parameter : it.value if it.name == "rds.force_ssl"]) == "1"
    error_message = "Connections without TLS must be refused."
  }

  assert {
    condition     = length(aws_rds_cluster.this.serverlessv2_scaling_configuration) == 0
    error_message = "Instances of a fixed class do not scale."
  }
}

run "a_serverless_one_scales" {
  variables {
    database = { instance_class = "db.serverless", instance_count = 1, is_protected = false }
  }

  assert {
    condition     = aws_rds_cluster.this.serverlessv2_scaling_configuration[0].max_capacity == 4
    error_message = "A serverless database needs its bounds."
  }

  assert {
    condition     = aws_rds_cluster.this.skip_final_snapshot && !aws_rds_cluster.this.deletion_protection
    error_message = "What is not protected must be easy to delete."
  }
}

run "another_major_release_is_refused" {
  command = plan

  variables {
    engine_version = "17.4"
  }

  expect_failures = [var.engine_version]
}

run "no_instance_is_refused" {
  command = plan

  variables {
    database = { instance_class = "db.r7g.large", instance_count = 0 }
  }

  expect_failures = [var.database]
}
