namespace tq {}
